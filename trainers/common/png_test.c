#include "common/image.h"
#include "common/mem.h"
#include "common/png.h"
#include "common/testing.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE 4

static float sample(int i, int c, int at)
{
	return (float)((i * 50 + c * 17 + at * 3) % 256) / 127.5f - 1;
}

static uint8_t pixel(const struct images *set, int c, int y, int x)
{
	return set->pixels[(c * set->height + y) * set->width + x];
}

static void check_grid(const char *path, int count, int channels, int columns, int across, int down)
{
	const int plane = SIZE * SIZE;
	float *samples = mem_floats((size_t)(count * channels * plane));
	for (int k = 0; k < count * channels * plane; k++)
		samples[k] = sample(k / plane / channels, k % channels, k / channels % plane);
	png_write_grid(path, samples, count, channels, SIZE, columns);
	free(samples);

	struct images set = image_load(path);
	assert_int_equal(set.width, across * (SIZE + 2) + 2);
	assert_int_equal(set.height, down * (SIZE + 2) + 2);
	for (int i = 0; i < across * down; i++)
		for (int c = 0; c < 3; c++)
			for (int at = 0; at < plane; at++) {
				int y = i / columns * (SIZE + 2) + 2 + at / SIZE,
				    x = i % columns * (SIZE + 2) + 2 + at % SIZE;
				int expected = i < count ? (i * 50 + (channels == 3 ? c : 0) * 17 + at * 3) % 256 : 0;
				assert_int_equal(pixel(&set, c, y, x), expected);
			}
	for (int x = 0; x < set.width; x++) // the frame
		assert_int_equal(pixel(&set, 0, 0, x) + pixel(&set, 1, 1, x) + pixel(&set, 2, set.height - 1, x), 0);
	images_fini(&set);
}

static void test_grids(void **state)
{
	(void)state;
	char *folder = testing_folder(), *path = testing_path(folder, "grid.png"),
	     *beside = testing_path(folder, "grid.png.tmp");
	check_grid(path, 1, 1, 8, 1, 1);
	check_grid(path, 5, 1, 3, 3, 2); // over the one before
	check_grid(path, 6, 3, 3, 3, 2);
	assert_int_equal(access(beside, F_OK), -1);
	free(path);
	free(beside);
	testing_remove(folder);
}

static void test_one(void **state)
{
	(void)state;
	char *folder = testing_folder(), *path = testing_path(folder, "one.png");
	float samples[3 * SIZE * SIZE];
	for (int k = 0; k < 3 * SIZE * SIZE; k++)
		samples[k] = sample(1, k % 3, k / 3);
	png_write_one(path, samples, 3, SIZE);
	struct images set = image_load(path);
	assert_int_equal(set.width, SIZE);
	assert_int_equal(set.height, SIZE);
	for (int k = 0; k < 3 * SIZE * SIZE; k++)
		assert_int_equal(set.pixels[k], 50 + k / (SIZE * SIZE) * 17 + k % (SIZE * SIZE) * 3);
	images_fini(&set);
	free(path);
	testing_remove(folder);
}

// Nothing that a diverged network makes may become undefined behaviour.
static void test_out_of_range(void **state)
{
	(void)state;
	char *folder = testing_folder(), *path = testing_path(folder, "grid.png");
	float samples[SIZE * SIZE] = {NAN, INFINITY, -INFINITY, 7, -7};
	png_write_grid(path, samples, 1, 1, SIZE, 8);
	struct images set = image_load(path);
	const uint8_t expected[] = {0, 255, 0, 255};
	for (int x = 0; x < 4; x++)
		assert_int_equal(pixel(&set, 0, 2, 2 + x), expected[x]);
	images_fini(&set);
	free(path);
	testing_remove(folder);
}

static void write_to(void *path)
{
	float samples[SIZE * SIZE] = {0};
	png_write_grid(path, samples, 1, 1, SIZE, 8);
}

static void test_cannot_write(void **state)
{
	(void)state;
	char *folder = testing_folder(), *path = testing_path(folder, "no/such/folder.png");
	testing_dies(write_to, path, "no/such/folder.png.tmp: No such file");
	free(path);
	testing_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_grids), cmocka_unit_test(test_one),
		cmocka_unit_test(test_out_of_range), cmocka_unit_test(test_cannot_write)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
