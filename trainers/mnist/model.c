#include "mnist/model.h"

#include "common/die.h"
#include "common/mem.h"
#include "mnist/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 50

static void test_batch(struct net *net, const float *const *rows, struct data *test, size_t first, size_t count,
	struct model_score *sum)
{
	const uint8_t *images[BATCH];
	size_t correct;
	for (size_t i = 0; i < count; i++)
		images[i] = data_image(test, first + i);
	net_load(net, images, test->labels + first);
	sum->loss += net_forward(net, rows, &correct) * (double)count;
	sum->accuracy += (double)correct;
}

struct model_score model_test(const float *const *rows, size_t hidden, struct data *test)
{
	struct model_score sum = {0};
	size_t rest = test->count % BATCH;
	struct net *net = net_new(hidden, BATCH);
	for (size_t i = 0; i + BATCH <= test->count; i += BATCH)
		test_batch(net, rows, test, i, BATCH, &sum);
	net_free(net);
	if (rest) {
		net = net_new(hidden, rest);
		test_batch(net, rows, test, test->count - rest, rest, &sum);
		net_free(net);
	}
	return (struct model_score){sum.accuracy / (double)test->count, sum.loss / (double)test->count};
}

static void write_all(FILE *file, const char *path, const void *data, size_t size)
{
	if (fwrite(data, 1, size, file) != size)
		die("%s: %s", path, strerror(errno));
}

static void write_numbers(FILE *file, const char *path, const float *const *rows, size_t hidden)
{
	for (size_t row = 0; row <= NET_ROW_HIDDEN_BIAS; row++)
		write_all(file, path, rows[row], hidden * sizeof(float));
	for (size_t i = 0; i < hidden; i++)
		for (size_t c = 0; c < NET_CLASSES; c++)
			write_all(file, path, rows[NET_ROW_CLASS + c] + i, sizeof(float));
	write_all(file, path, rows[NET_ROW_CLASS_BIAS], NET_CLASSES * sizeof(float));
}

void model_save(const char *dir, const float *const *rows, size_t hidden, uint64_t steps)
{
	char *path, *beside;
	if (asprintf(&path, "%s/mnist.model", dir) < 0 || asprintf(&beside, "%s.%d", path, (int)getpid()) < 0)
		die("out of memory");
	FILE *file = fopen(beside, "wb");
	if (!file)
		die("%s: %s", beside, strerror(errno));
	write_all(file, beside, "mnist-1\n", 8);
	write_all(file, beside, (uint64_t[]){hidden, steps}, 16);
	write_numbers(file, beside, rows, hidden);
	if (fflush(file) || fsync(fileno(file)) < 0 || fclose(file) || rename(beside, path) < 0) {
		int code = errno;
		unlink(beside);
		die("%s: %s", path, strerror(code));
	}
	free(path);
	free(beside);
}
