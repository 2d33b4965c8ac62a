// Runs a fuzz function over its corpus and over mutations of it that are the same every time: a plain test, without
// clang. It does not look for new ground: that is libFuzzer's work (make fuzz).
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MUTATIONS 5000
#define SECONDS 2.0
#define MAX_SIZE (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	char name[256];
	uint8_t *data;
	size_t size;
};

static struct input *inputs;
static size_t ninputs;
static uint64_t seed = 0x6d7573746572;
static char doing[512];

static uint64_t next(void)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

// Says which input it was: the seed is fixed, so the same build dies at the same one again.
static void on_death(int number)
{
	if (write(STDOUT_FILENO, doing, strlen(doing)) < 0)
		_exit(1);
	signal(number, SIG_DFL);
	raise(number);
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct input *)a)->name, ((const struct input *)b)->name);
}

static void load(const char *dir)
{
	DIR *d = opendir(dir);
	if (!d) {
		perror(dir);
		exit(1);
	}
	struct dirent *entry;
	while ((entry = readdir(d))) {
		int fd = openat(dirfd(d), entry->d_name, O_RDONLY);
		struct stat st;
		if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size <= MAX_SIZE) {
			inputs = realloc(inputs, (ninputs + 1) * sizeof(*inputs));
			struct input *in = &inputs[ninputs++];
			snprintf(in->name, sizeof(in->name), "%s", entry->d_name);
			in->data = malloc(st.st_size + 1);
			ssize_t n = read(fd, in->data, st.st_size);
			in->size = n > 0 ? n : 0;
		}
		if (fd >= 0)
			close(fd);
	}
	closedir(d);
	if (ninputs)
		qsort(inputs, ninputs, sizeof(*inputs), compare);
}

// The input in a block of exactly its size, so that the address sanitizer sees one byte too many.
static void one(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

// A few random edits: bytes changed, cut out, doubled, or spliced in from another input.
static size_t mutate(uint8_t *data, size_t size, size_t max)
{
	for (uint64_t edits = 1 + next() % 4; edits > 0; edits--) {
		size_t at = size ? next() % size : 0;
		size_t len = size ? 1 + next() % (size - at < 64 ? size - at : 64) : 0;
		const struct input *other = &inputs[next() % ninputs];
		switch (next() % 5) {
		case 0:
			if (size)
				data[at] ^= 1 << next() % 8;
			break;
		case 1:
			if (size)
				data[at] = next();
			break;
		case 2:
			memmove(data + at, data + at + len, size - at - len);
			size -= len;
			break;
		case 3:
			if (size + len <= max) {
				memmove(data + at + len, data + at, size - at);
				size += len;
			}
			break;
		default:
			if (other->size) {
				size_t from = next() % other->size;
				size_t count = other->size - from < max - at ? other->size - from : max - at;
				memcpy(data + at, other->data + from, count);
				size = at + count > size ? at + count : size;
			}
		}
	}
	return size;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
		return 2;
	}
	signal(SIGABRT, on_death);
	signal(SIGSEGV, on_death);
	printf("1..2\n");
	fflush(stdout);
	load(argv[1]);
	for (size_t i = 0; i < ninputs; i++) {
		snprintf(doing, sizeof(doing), "# died of %s\n", inputs[i].name);
		one(inputs[i].data, inputs[i].size);
	}
	printf("%s 1 - %zu inputs of the corpus\n", ninputs ? "ok" : "not ok", ninputs);
	fflush(stdout);
	if (!ninputs)
		return 1;

	double end = now() + SECONDS;
	uint8_t *data = malloc(MAX_SIZE + 4096);
	size_t done = 0;
	for (; done < MUTATIONS && now() < end; done++) {
		const struct input *in = &inputs[done % ninputs];
		memcpy(data, in->data, in->size);
		snprintf(doing, sizeof(doing), "# died of mutation %zu, made from %s\n", done, in->name);
		one(data, mutate(data, in->size, in->size + 4096));
	}
	printf("ok 2 - %zu mutations\n", done);
	free(data);
	for (size_t i = 0; i < ninputs; i++)
		free(inputs[i].data);
	free(inputs);
	return 0;
}
