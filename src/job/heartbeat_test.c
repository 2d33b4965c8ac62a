#include "job/heartbeat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_rules(void **state)
{
	assert_float_equal(heartbeat_lease_mpi(5), 15, 0);
	assert_float_equal(heartbeat_period(5, 30), 5, 0);
	assert_float_equal(heartbeat_period(5, 6), 2, 0);
	assert_float_equal(heartbeat_lease_left(30, 100, 110), 20, 0);
	assert_float_equal(heartbeat_lease_left(30, 100, 200), 0, 0);
}

// A line that broke is noticed, and a new one can be opened, before the node's lease is over.
static void test_silence_is_shorter_than_a_lease(void **state)
{
	for (double lease = 1; lease < 100; lease *= 1.7)
		assert_true(heartbeat_silence(heartbeat_period(HEARTBEAT_PERIOD, lease)) < lease);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules), cmocka_unit_test(test_silence_is_shorter_than_a_lease)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
