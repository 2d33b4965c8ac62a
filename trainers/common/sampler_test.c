#include "common/mem.h"
#include "common/rng.h"
#include "common/sampler.h"
#include "common/testing.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// How often each image is dealt to the ranks of one epoch together.
static void deal(size_t total, int size, uint64_t epoch, int *times)
{
	for (int rank = 0; rank < size; rank++) {
		struct sampler s;
		sampler_init(&s, total, rank, size, 42);
		assert_int_equal(s.count, (total + (size_t)size - 1) / (size_t)size);
		sampler_epoch(&s, epoch);
		for (size_t i = 0; i < s.count; i++) {
			assert_true(s.mine[i] < total);
			times[s.mine[i]]++;
		}
		sampler_fini(&s);
	}
}

static void test_every_image(void **state)
{
	(void)state;
	static const struct {
		size_t total;
		int size;
	} cases[] = {{10, 1}, {10, 2}, {11, 2}, {103, 4}, {3, 5}, {1, 4}};
	for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
		size_t total = cases[c].total, sum = 0;
		int *times = mem_new(total, sizeof *times);
		deal(total, cases[c].size, 0, times);
		int most = (int)((total + (size_t)cases[c].size - 1) / (size_t)cases[c].size * (size_t)cases[c].size /
				   total) +
			   1;
		for (size_t i = 0; i < total; i++) {
			assert_in_range(times[i], 1, most);
			sum += (size_t)times[i];
		}
		assert_int_equal(
			sum, (total + (size_t)cases[c].size - 1) / (size_t)cases[c].size * (size_t)cases[c].size);
		free(times);
	}
}

static void test_ranks_take_turns(void **state)
{
	(void)state;
	struct sampler one, two[2];
	sampler_init(&one, 9, 0, 1, 42);
	sampler_epoch(&one, 3);
	for (int r = 0; r < 2; r++) {
		sampler_init(&two[r], 9, r, 2, 42);
		sampler_epoch(&two[r], 3);
	}
	for (size_t i = 0; i < 10; i++) // the tenth is the first once more
		assert_int_equal(two[i % 2].mine[i / 2], one.mine[i % 9]);
	sampler_fini(&one);
	sampler_fini(&two[0]);
	sampler_fini(&two[1]);
}

static void test_epochs_differ_and_repeat(void **state)
{
	(void)state;
	struct sampler s;
	uint32_t first[100];
	sampler_init(&s, 100, 0, 1, 42);
	sampler_epoch(&s, 0);
	memcpy(first, s.mine, sizeof first);
	sampler_epoch(&s, 1);
	assert_memory_not_equal(first, s.mine, sizeof first);
	sampler_epoch(&s, 0);
	assert_memory_equal(first, s.mine, sizeof first);
	sampler_fini(&s);
	sampler_init(&s, 100, 0, 1, 43);
	sampler_epoch(&s, 0);
	assert_memory_not_equal(first, s.mine, sizeof first);
	sampler_fini(&s);
}

// Each of the six orders of three things is as likely as the others.
static void test_shuffle_is_fair(void **state)
{
	(void)state;
	int times[27] = {0};
	struct rng r;
	rng_init(&r, 4, 5, 6);
	for (int i = 0; i < 6000; i++) {
		uint32_t order[3] = {0, 1, 2};
		rng_shuffle(&r, order, 3);
		times[order[0] * 9 + order[1] * 3 + order[2]]++;
	}
	static const int orders[] = {5, 7, 11, 15, 19, 21}; // 012 021 102 120 201 210
	for (int k = 0; k < 6; k++)
		assert_in_range(times[orders[k]], 880, 1120); // four deviations
}

static void test_batches(void **state)
{
	(void)state;
	struct sampler s;
	sampler_init(&s, 60000, 0, 2, 1);
	assert_int_equal(sampler_batches(&s, 128), 235);
	assert_int_equal(sampler_batches(&s, 30000), 1);
	assert_int_equal(sampler_batches(&s, 50000), 1);
	sampler_fini(&s);
}

static void no_images(void *arg)
{
	(void)arg;
	struct sampler s;
	sampler_init(&s, 0, 0, 1, 1);
}

static void test_no_images(void **state)
{
	(void)state;
	testing_dies(no_images, NULL, "0 images");
}

static void test_normal(void **state)
{
	(void)state;
	struct rng r;
	rng_init(&r, 1, 2, 3);
	double sum = 0, square = 0;
	const int n = 100000;
	for (int i = 0; i < n; i++) {
		double x = rng_normal(&r);
		sum += x;
		square += x * x;
	}
	assert_true(fabs(sum / n) < 0.02);
	assert_true(fabs(square / n - 1) < 0.02);
}

// splitmix64 from state 0: its author's published first numbers.
static void test_splitmix(void **state)
{
	(void)state;
	struct rng r = {0};
	assert_true(rng_next(&r) == 0xe220a8397b1dcdafu);
	assert_true(rng_next(&r) == 0x6e789e6aa1b965f4u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_image),
		cmocka_unit_test(test_ranks_take_turns),
		cmocka_unit_test(test_epochs_differ_and_repeat),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_shuffle_is_fair),
		cmocka_unit_test(test_no_images),
		cmocka_unit_test(test_normal),
		cmocka_unit_test(test_splitmix),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
