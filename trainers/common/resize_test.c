#include "common/mem.h"
#include "common/resize.h"
#include "common/testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

// What Pillow 9.4.0 makes of sample (y, x) = (37 x + 101 y + 7 x y) mod 256, resized with BILINEAR so that the short
// edge is SIZE and the long one int(SIZE * long / short), then cropped from int(round((long - SIZE) / 2)) on: the
// CRC-32 of all samples, and four of them (top left, top right, row SIZE/2 column SIZE/3, bottom right) to tell by how
// much it is off.
static const struct {
	int height, width, size;
	uint32_t crc;
	uint8_t some[4];
} expected[] = {
	{28, 28, 64, 0xb4baf1c3, {0, 231, 99, 125}},
	{28, 28, 32, 0x0baa0cfd, {0, 231, 108, 125}},
	{28, 28, 16, 0x967b5a7b, {73, 164, 143, 125}},
	{32, 32, 64, 0x77fae020, {0, 123, 76, 253}},
	{64, 64, 64, 0x7a616237, {0, 27, 9, 125}},
	{75, 100, 64, 0x220cd669, {166, 96, 136, 170}},
	{120, 50, 16, 0x4889b750, {125, 134, 130, 121}},
	{301, 200, 32, 0xa1b30b93, {129, 123, 120, 122}},
	{3, 5, 16, 0xda9c47ba, {21, 127, 166, 122}},
	{1, 40, 16, 0x019b3154, {192, 227, 204, 227}},
	{64, 65, 64, 0x7a616237, {0, 27, 9, 125}},
	{63, 64, 32, 0x105b310f, {95, 103, 54, 107}},
};

static void test_like_pillow(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
		int h = expected[i].height, w = expected[i].width, s = expected[i].size;
		size_t from = (size_t)h * (size_t)w, to = (size_t)s * (size_t)s;
		uint8_t *in = mem_new(2 * from, 1), *out = mem_new(2 * to, 1);
		for (int y = 0; y < h; y++)
			for (int x = 0; x < w; x++)
				in[from + (size_t)(y * w + x)] = (uint8_t)(37 * x + 101 * y + 7 * x * y);
		struct resize *r = resize_new(h, w, s);
		resize_run(r, in, 2, out); // a black plane first, so that planes are not mixed up
		resize_free(r);
		const uint8_t *got = out + to;
		const uint8_t some[4] = {got[0], got[s - 1], got[s / 2 * s + s / 3], got[to - 1]};
		for (size_t k = 0; k < to; k++)
			assert_int_equal(out[k], 0);
		assert_memory_equal(some, expected[i].some, 4);
		assert_int_equal(crc32(0, got, (unsigned)to), expected[i].crc);
		free(in);
		free(out);
	}
}

static void absurd(void *arg)
{
	(void)arg;
	resize_free(resize_new(1, 1 << 26, 64));
}

static void test_absurd(void **state)
{
	(void)state;
	testing_dies(absurd, NULL, "too long and thin");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_like_pillow), cmocka_unit_test(test_absurd)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
