#include "common/mem.h"
#include "common/testing.h"
#include "dcgan/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT 5
#define EDGE 28
#define SIZE 64
#define HEAD 16

static uint8_t file[HEAD + COUNT * EDGE * EDGE];

// A data set of COUNT images in a folder of its own, which is gone again when this returns: what is needed of it was
// read.
static struct data load(void)
{
	memcpy(file, "\0\0\x08\x03\0\0\0\x05\0\0\0\x1c\0\0\0\x1c", HEAD);
	char *folder = testing_folder(), *path = testing_file(folder, "train-images-idx3-ubyte", file, sizeof file);
	struct options o = {.dataset = DATASET_MNIST, .dataroot = folder, .image_size = SIZE};
	struct data d;
	data_init(&d, &o);
	free(path);
	testing_remove(folder);
	return d;
}

static void fill(void)
{
	for (int i = 0; i < COUNT * EDGE * EDGE; i++)
		file[HEAD + i] = (uint8_t)(i * 37 + i / EDGE * 101 + i / EDGE / EDGE * 7);
}

// In the order asked for, once more when asked twice, resized as resize.h does it, then what ToTensor and
// Normalize(0.5, 0.5) make of bytes.
static void test_batch(void **state)
{
	(void)state;
	static const uint32_t index[] = {3, 0, 3, 4};
	fill();
	struct data d = load();
	struct resize *r = resize_new(EDGE, EDGE, SIZE);
	uint8_t *resized = mem_new(SIZE, SIZE);
	float *out = mem_floats(4 * SIZE * SIZE);
	data_batch(&d, index, 4, out);
	for (int i = 0; i < 4; i++) {
		resize_run(r, file + HEAD + index[i] * EDGE * EDGE, 1, resized);
		for (int k = 0; k < SIZE * SIZE; k++)
			assert_true(out[i * SIZE * SIZE + k] == ((float)resized[k] / 255 - 0.5f) / 0.5f);
	}
	free(out);
	free(resized);
	resize_free(r);
	data_fini(&d);
}

// Three channels side by side, from planes.
static void test_colours(void **state)
{
	(void)state;
	enum { PLANE = 32 * 32 };
	static uint8_t records[2 * (1 + 3 * PLANE)];
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < 3 * PLANE; k++)
			records[i * (1 + 3 * PLANE) + 1 + k] = (uint8_t)(i * 11 + k * 37 + k / PLANE * 5);
	char *folder = testing_folder(), *path = testing_file(folder, "data_batch_1.bin", records, sizeof records);
	struct options o = {.dataset = DATASET_CIFAR10, .dataroot = folder, .image_size = 32};
	struct data d;
	data_init(&d, &o);
	float *out = mem_floats(3 * PLANE);
	data_batch(&d, (const uint32_t[]){1}, 1, out);
	for (int k = 0; k < 3 * PLANE; k++)
		assert_true(out[k] ==
			    ((float)(uint8_t)(11 + (k % 3 * PLANE + k / 3) * 37 + k % 3 * 5) / 255 - 0.5f) / 0.5f);
	free(out);
	data_fini(&d);
	free(path);
	testing_remove(folder);
}

static void test_digest(void **state)
{
	(void)state;
	fill();
	struct data d = load();
	uint32_t digest = data_digest(&d);
	data_fini(&d);
	d = load();
	assert_int_equal(data_digest(&d), digest);
	data_fini(&d);
	file[sizeof file - 1] ^= 1;
	d = load();
	assert_int_not_equal(data_digest(&d), digest);
	data_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batch), cmocka_unit_test(test_colours), cmocka_unit_test(test_digest)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
