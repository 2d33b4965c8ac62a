#include "base/mem.h"
#include "run/scaling.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_amdahl(void **state)
{
	static const double nodes[] = {1, 2}, seconds[] = {110, 60};
	struct scaling s;
	assert_int_equal(scaling_fit(&s, nodes, seconds, 2), 0);
	assert_float_equal(s.serial, 10, 1e-6);
	assert_float_equal(s.parallel, 100, 1e-6);
	assert_float_equal(s.talk, 0, 0);
	assert_float_equal(scaling_at(&s, 4), 35, 1e-6);
	assert_true(isnan(s.error)); // two points, two terms: nothing left to judge by
}

static void test_communication(void **state)
{
	double nodes[] = {1, 2, 4}, seconds[3];
	struct scaling true_one = {.serial = 5, .parallel = 100, .talk = 2}, s;
	for (size_t i = 0; i < 3; i++)
		seconds[i] = scaling_at(&true_one, nodes[i]);
	assert_int_equal(scaling_fit(&s, nodes, seconds, 3), 0);
	assert_float_equal(scaling_at(&s, 8), scaling_at(&true_one, 8), 0.1 * scaling_at(&true_one, 8));
}

static void test_perfect_scaling_needs_one_term(void **state)
{
	static const double nodes[] = {1, 2, 4}, seconds[] = {100, 50.1, 24.9};
	struct scaling s;
	assert_int_equal(scaling_fit(&s, nodes, seconds, 3), 0);
	assert_float_equal(s.serial + s.talk, 0, 0);
	assert_true(s.error > 0 && s.error < 0.01);
	assert_float_equal(scaling_at(&s, 8), 12.5, 0.1);
}

// It never gets faster than nothing, and more nodes may be slower.
static void test_no_term_is_negative(void **state)
{
	static const double nodes[] = {1, 2, 4}, slower[] = {10, 15, 25}, faster[] = {100, 40, 15};
	struct scaling s;
	assert_int_equal(scaling_fit(&s, nodes, slower, 3), 0);
	assert_true(s.serial >= 0 && s.parallel >= 0 && s.talk > 0);
	assert_true(scaling_at(&s, 8) > 25);
	assert_int_equal(scaling_fit(&s, nodes, faster, 3), 0);
	assert_true(s.serial >= 0 && s.parallel > 0 && s.talk >= 0);
	assert_true(scaling_at(&s, 64) > 0);
}

static void test_one_point_is_no_curve(void **state)
{
	static const double nodes[] = {2, 2, 2}, seconds[] = {10, 11, 12};
	struct scaling s;
	assert_int_equal(scaling_fit(&s, nodes, seconds, 3), -1);
	assert_int_equal(scaling_fit(&s, nodes, seconds, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_amdahl),
		cmocka_unit_test(test_communication),
		cmocka_unit_test(test_perfect_scaling_needs_one_term),
		cmocka_unit_test(test_no_term_is_negative),
		cmocka_unit_test(test_one_point_is_no_curve),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
