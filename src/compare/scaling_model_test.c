#include "base/mem.h"
#include "compare/scaling_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct scaling_model_point points[8];

static size_t fill(const double *nodes, const double *seconds, size_t count, double doubt)
{
	for (size_t i = 0; i < count; i++)
		points[i] = (struct scaling_model_point){nodes[i], seconds[i], doubt};
	return count;
}

static void test_amdahl(void **state)
{
	static const double nodes[] = {1, 2}, seconds[] = {110, 60};
	struct scaling_model s;
	assert_int_equal(scaling_model_fit(&s, points, fill(nodes, seconds, 2, 0.01)), 0);
	assert_float_equal(s.serial, 10, 1e-6);
	assert_float_equal(s.parallel, 100, 1e-6);
	assert_float_equal(s.talk, 0, 0);
	assert_float_equal(scaling_model_at(&s, 4), 35, 1e-6);
	assert_true(isnan(s.error)); // two points, two terms: nothing left to judge by
	// 110 / n + 5 (n - 1) comes as close: the interval holds what that says, and grows with the distance.
	assert_true(scaling_model_doubt(&s, 2) < 0.02);
	assert_true(35 * (1 + scaling_model_doubt(&s, 4)) > 110.0 / 4 + 3 * 5);
	assert_true(scaling_model_doubt(&s, 8) > scaling_model_doubt(&s, 4) &&
		    scaling_model_doubt(&s, 4) > scaling_model_doubt(&s, 3));
}

static void test_communication(void **state)
{
	double nodes[] = {1, 2, 4}, seconds[3];
	struct scaling_model true_one = {.serial = 5, .parallel = 100, .talk = 2}, s;
	for (size_t i = 0; i < 3; i++)
		seconds[i] = scaling_model_at(&true_one, nodes[i]);
	assert_int_equal(scaling_model_fit(&s, points, fill(nodes, seconds, 3, 0.01)), 0);
	double truth = scaling_model_at(&true_one, 8), said = scaling_model_at(&s, 8);
	assert_true(fabs(said - truth) < 0.15 * truth);
	assert_true(fabs(said - truth) < scaling_model_doubt(&s, 8) * said);
}

static void test_perfect_scaling_needs_one_term(void **state)
{
	static const double nodes[] = {1, 2, 4}, seconds[] = {100, 50.1, 24.9};
	struct scaling_model s;
	assert_int_equal(scaling_model_fit(&s, points, fill(nodes, seconds, 3, 0.01)), 0);
	assert_float_equal(s.serial + s.talk, 0, 0);
	assert_true(s.error > 0 && s.error < 0.01);
	assert_float_equal(scaling_model_at(&s, 8), 12.5, 0.1);
}

// A time that does not depend on the nodes is not made of a part that shrinks and one that grows.
static void test_no_scaling_needs_one_term(void **state)
{
	static const double nodes[] = {1, 2}, seconds[] = {1.033, 1.049}, equal[] = {3, 3};
	struct scaling_model s;
	assert_int_equal(scaling_model_fit(&s, points, fill(nodes, seconds, 2, 0.02)), 0);
	assert_float_equal(scaling_model_at(&s, 8), 1.04, 0.01);
	assert_true(s.error > 0 && s.error < 0.01);
	assert_int_equal(scaling_model_fit(&s, points, fill(nodes, equal, 2, 0)), 0);
	assert_float_equal(s.serial, 3, 1e-6);
	assert_float_equal(s.parallel + s.talk, 0, 0);
}

// It never gets faster than nothing, and more nodes may be slower.
static void test_no_term_is_negative(void **state)
{
	static const double nodes[] = {1, 2, 4}, slower[] = {10, 15, 25}, faster[] = {100, 40, 15};
	struct scaling_model s;
	assert_int_equal(scaling_model_fit(&s, points, fill(nodes, slower, 3, 0.01)), 0);
	assert_true(s.serial >= 0 && s.parallel >= 0 && s.talk > 0);
	assert_true(scaling_model_at(&s, 8) > 25);
	assert_int_equal(scaling_model_fit(&s, points, fill(nodes, faster, 3, 0.01)), 0);
	assert_true(s.serial >= 0 && s.parallel > 0 && s.talk >= 0);
	assert_true(scaling_model_at(&s, 64) > 0);
	assert_true(
		s.error > 0.2 && scaling_model_doubt(&s, 8) > 0.2); // faster than ideal: no curve fits, and it is said
}

// The more the points are unsure of, the simpler the curve, and the wider what it predicts.
static void test_noisy_points(void **state)
{
	static const double nodes[] = {1, 2, 4}, seconds[] = {100, 62, 31};
	struct scaling_model s;
	assert_int_equal(scaling_model_fit(&s, points, fill(nodes, seconds, 3, 0.01)), 0);
	double sure = scaling_model_doubt(&s, 8);
	assert_int_equal(scaling_model_fit(&s, points, fill(nodes, seconds, 3, 0.5)), 0);
	assert_true(scaling_model_doubt(&s, 8) > sure);
	assert_float_equal(s.serial + s.talk, 0, 0);
	assert_true(s.error > 0.1);
	assert_int_equal(scaling_model_fit(&s, points, fill(nodes, seconds, 3, NAN)), 0);
}

// Its units do not matter.
static void test_long_and_short_times(void **state)
{
	static const double nodes[] = {1, 2, 4}, units[] = {1e-6, 1, 1e7};
	for (size_t i = 0; i < countof(units); i++) {
		double seconds[] = {110 * units[i], 60 * units[i], 35 * units[i]};
		struct scaling_model s;
		assert_int_equal(scaling_model_fit(&s, points, fill(nodes, seconds, 3, 0.01)), 0);
		assert_float_equal(scaling_model_at(&s, 10) / units[i], 20, 1e-3);
	}
}

static void test_one_point_is_no_curve(void **state)
{
	static const double nodes[] = {2, 2, 2}, two[] = {1, 2}, seconds[] = {10, 11, 12}, none[] = {10, 0},
			    far[] = {10, INFINITY};
	struct scaling_model s;
	assert_int_equal(scaling_model_fit(&s, points, fill(nodes, seconds, 3, 0.01)), -1);
	assert_int_equal(scaling_model_fit(&s, points, 0), -1);
	assert_int_equal(scaling_model_fit(&s, points, fill(two, none, 2, 0.01)), -1);
	assert_int_equal(scaling_model_fit(&s, points, fill(two, far, 2, 0.01)), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_amdahl),
		cmocka_unit_test(test_communication),
		cmocka_unit_test(test_perfect_scaling_needs_one_term),
		cmocka_unit_test(test_no_scaling_needs_one_term),
		cmocka_unit_test(test_no_term_is_negative),
		cmocka_unit_test(test_noisy_points),
		cmocka_unit_test(test_long_and_short_times),
		cmocka_unit_test(test_one_point_is_no_curve),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
