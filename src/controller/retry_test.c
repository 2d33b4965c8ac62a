#include "controller/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_attempts(void **state)
{
	struct retry r = {.state = STATE_RUNNING, .attempt = 1};
	assert_false(retry_allows(&r));
	r.retries = 2;
	assert_true(retry_allows(&r));
	r.attempt = 2;
	assert_true(retry_allows(&r));
	r.attempt = 3;
	assert_false(retry_allows(&r));
}

static void test_only_while_ranks_run(void **state)
{
	static const enum state others[] = {STATE_PLANNED, STATE_STARTING, STATE_READY, STATE_STOPPING, STATE_DONE};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_false(retry_allows(&(struct retry){.state = others[i], .attempt = 1, .retries = 9}));
	assert_false(retry_allows(
		&(struct retry){.state = STATE_RUNNING, .attempt = 1, .retries = 9, .preflight_only = true}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempts), cmocka_unit_test(test_only_while_ranks_run)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
