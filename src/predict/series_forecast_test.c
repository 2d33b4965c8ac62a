#include "base/mem.h"
#include "predict/series_forecast.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned long long seed = 88172645463325252ULL;

static double uniform(void) // in (0, 1): xorshift (Marsaglia 2003)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return ((double)(seed >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

// How many of 1,000 series have the sum of their next 500 values in the interval that the first COUNT say; neighbours
// have the correlation R.
static size_t held(size_t count, double r, bool skewed, double *width)
{
	size_t all = 0;
	*width = 0;
	for (size_t k = 0; k < 1000; k++) {
		double x[200], state = normal(), sum = 0;
		for (size_t i = 0; i < count + 500; i++) {
			state = r * state + sqrt(1 - r * r) * normal();
			double value = 10 + (skewed ? -log(uniform()) : state);
			if (i < count)
				x[i] = value;
			else
				sum += value;
		}
		struct series_forecast l = series_forecast_make(x, count, 500, 1e-3);
		all += l.sum_low <= sum && sum <= l.sum_high;
		*width += (l.mean_high - l.mean_low) / 2000;
	}
	return all;
}

static void test_intervals_hold_the_truth(void **state)
{
	static const size_t counts[] = {9, 19, 49, 200};
	for (size_t i = 0; i < countof(counts); i++) {
		double width, n = (double)counts[i];
		assert_in_range(held(counts[i], 0, false, &width), 935, 995);
		assert_true(
			width > 1.9 / sqrt(n) && width < (n < 19          ? 5
								 : n < 49 ? 3.2
									  : 2.6) /
								 sqrt(n)); // 1.96 is what it would be if all were known
		assert_in_range(held(counts[i], 0.6, false, &width), 930, 985);
		assert_in_range(held(counts[i], 0, true, &width), 930, 990);
	}
}

// What alternates is known better than what does not.
static void test_neighbours_that_make_up_for_one_another(void **state)
{
	double x[40], y[40];
	for (size_t i = 0; i < countof(x); i++) {
		x[i] = i % 2 ? 1.1 : 0.9;
		y[i] = i / 2 % 2 ? 1.1 : 0.9;
	}
	struct series_forecast a = series_forecast_make(x, countof(x), 1000, 1e-4),
			       b = series_forecast_make(y, countof(y), 1000, 1e-4);
	assert_float_equal(a.mean, 1, 1e-3);
	assert_float_equal(b.sum, 1000, 10);
	assert_true(a.mean_high - a.mean_low < 0.8 * (b.mean_high - b.mean_low));
}

static void test_all_the_same_and_too_few(void **state)
{
	static const double x[] = {2, 2, 2, 2, 2, 2};
	struct series_forecast l = series_forecast_make(x, countof(x), 100, 1e-3);
	assert_float_equal(l.sum, 200, 1e-6);
	assert_true(l.sum_low < 200 && l.sum_high > 200 && l.sum_high - l.sum_low < 4);
	static const double nothing[3] = {0};
	l = series_forecast_make(nothing, countof(nothing), 100, 0);
	assert_float_equal(l.sum, 0, 1e-9);
	assert_float_equal(l.mean_high - l.mean_low, 0, 1e-9);
	l = series_forecast_make(x, 1, 100, 0.1);
	assert_float_equal(l.mean, 2, 1e-6);
	assert_true(l.mean_low < 1.5 && l.mean_high > 2.5);
	l = series_forecast_make(x, countof(x), 0, 1e-3);
	assert_float_equal(l.sum, 0, 0);
	assert_float_equal(l.sum_high - l.sum_low, 0, 0);
}

// Halves of chi-square's quantiles (Abramowitz and Stegun, table 26.8).
static void test_gamma(void **state)
{
	static const double rows[][3] = {{0.5, 0.975, 2.5119}, {0.5, 0.025, 0.000491}, {2.5, 0.975, 6.4163},
		{2.5, 0.025, 0.41561}, {15, 0.975, 23.4896}};
	for (size_t i = 0; i < countof(rows); i++)
		assert_float_equal(series_forecast_gamma(rows[i][0], rows[i][1]), rows[i][2], 1e-3 * rows[i][2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intervals_hold_the_truth),
		cmocka_unit_test(test_neighbours_that_make_up_for_one_another),
		cmocka_unit_test(test_all_the_same_and_too_few),
		cmocka_unit_test(test_gamma),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
