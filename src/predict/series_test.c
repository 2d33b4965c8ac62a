#include "base/mem.h"
#include "predict/series.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static double value_at(const json_t *points, size_t i)
{
	json_t *point = json_array_get(points, i);
	return json_number_value(json_array_get(point, json_array_size(point) - 1));
}

static bool holds(const json_t *points, double t, double value)
{
	for (size_t i = 0; i < json_array_size(points); i++)
		if (json_number_value(json_array_get(json_array_get(points, i), 0)) == t &&
			value_at(points, i) == value)
			return true;
	return false;
}

static void test_short_series_are_whole(void **state)
{
	struct series s = {0};
	for (int i = 0; i < 900; i++)
		series_add(&s, 1000, (struct point){i, i, i % 7});
	autojson json_t *points = series_points(&s, true);
	assert_int_equal(json_array_size(points), 900);
	for (size_t i = 0; i < 900; i++)
		assert_true(value_at(points, i) == (double)(i % 7));
	series_fini(&s);
}

static void test_extremes_survive(void **state)
{
	static const size_t peaks[] = {1, 777, 5000, 31337, 99998};
	struct series s = {0};
	for (size_t i = 0; i < 100000; i++) {
		double value = sin((double)i / 1000);
		for (size_t k = 0; k < countof(peaks); k++)
			if (i == peaks[k])
				value = k % 2 ? -100 : 100;
		series_add(&s, 1000, (struct point){(double)i, NAN, value});
	}
	autojson json_t *points = series_points(&s, false);
	assert_in_range(json_array_size(points), 400, 1000);
	for (size_t k = 0; k < countof(peaks); k++)
		assert_true(holds(points, (double)peaks[k], k % 2 ? -100 : 100));
	assert_true(holds(points, 0, 0));
	assert_true(json_number_value(json_array_get(json_array_get(points, json_array_size(points) - 1), 0)) == 99999);
	for (size_t i = 1; i < json_array_size(points); i++) {
		double before = json_number_value(json_array_get(json_array_get(points, i - 1), 0));
		assert_true(before < json_number_value(json_array_get(json_array_get(points, i), 0)));
	}
	assert_int_equal(s.count, 100000);
	assert_true(s.low.value == -100 && s.high.value == 100);
	series_fini(&s);
}

static void test_any_limit_is_kept(void **state)
{
	for (size_t limit = 4; limit < 60; limit++) {
		struct series s = {0};
		for (int i = 0; i < 5000; i++) {
			series_add(&s, limit, (struct point){i, i, (i * 7919) % 1000});
			if (i % 97 == 0) {
				autojson json_t *points = series_points(&s, true);
				assert_in_range(json_array_size(points), 1, limit);
			}
		}
		series_fini(&s);
	}
}

static void test_what_is_not_finite_is_a_gap(void **state)
{
	struct series s = {0};
	double values[] = {1, NAN, 3, INFINITY, -2};
	for (int i = 0; i < 5; i++)
		series_add(&s, 100, (struct point){i, i, values[i]});
	assert_int_equal(s.count, 5);
	assert_int_equal(s.finite, 3);
	assert_true(s.low.value == -2 && s.high.value == 3 && s.sum == 2);
	autojson json_t *points = series_points(&s, true);
	autofree char *text = json_dumps(points, JSON_COMPACT);
	assert_string_equal(text, "[[0,0,1],[1,1,null],[2,2,3],[3,3,null],[4,4,-2]]");
	series_fini(&s);

	for (int i = 0; i < 1000; i++)
		series_add(&s, 20, (struct point){i, 1e300, i < 990 ? NAN : 5});
	autojson json_t *late = series_points(&s, true);
	assert_true(holds(late, 999, 5));
	series_fini(&s);
}

static void test_numbers_print_short(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {{0.1, "0.1"}, {1.0 / 3, "0.333333"}, {12, "12"}, {-0.0000012345678, "-1.23457e-6"},
		{1e300, "1e300"}, {NAN, "null"}};
	for (size_t i = 0; i < countof(cases); i++) {
		autojson json_t *number = series_number(cases[i].value);
		autofree char *text = json_dumps(number, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
		assert_string_equal(text, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_series_are_whole),
		cmocka_unit_test(test_extremes_survive),
		cmocka_unit_test(test_any_limit_is_kept),
		cmocka_unit_test(test_what_is_not_finite_is_a_gap),
		cmocka_unit_test(test_numbers_print_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
