#include "predict/remaining_time.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_pace(void **state)
{
	struct remaining_time_pace pace = {.done = 30, .total = 100, .did = 20, .seconds = 10};
	assert_float_equal(remaining_time(&pace), 35, 1e-9);
	pace.since = 5;
	assert_float_equal(remaining_time(&pace), 30, 1e-9);
	pace.since = 500;
	assert_float_equal(remaining_time(&pace), 0, 1e-9);
	pace.did = 0;
	assert_true(isnan(remaining_time(&pace)));
	pace.did = NAN;
	assert_true(isnan(remaining_time(&pace)));
}

static void test_queue(void **state)
{
	static const double going[] = {10, 4}, unknown[] = {10, NAN};
	assert_float_equal(remaining_time_of_queue(going, 2, 30, 2), 22, 1e-9);
	assert_float_equal(remaining_time_of_queue(going, 2, 0, 2), 10, 1e-9); // not less than the longest
	assert_float_equal(remaining_time_of_queue(NULL, 0, 0, 1), 0, 1e-9);
	assert_true(isnan(remaining_time_of_queue(unknown, 2, 30, 2)));
	assert_true(isnan(remaining_time_of_queue(going, 2, NAN, 2)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_pace), cmocka_unit_test(test_queue)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
