#include "node/oom_kills.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_kill_explains_the_rank_that_was_killed(void **state)
{
	struct oom_kills k = oom_kills_start(5);
	oom_kills_see(&k, 5, 100);
	assert_false(oom_kills_explain(&k, -1, SIGKILL)); // somebody else's SIGKILL
	oom_kills_see(&k, 6, 101);
	assert_false(oom_kills_explain(&k, 1, 0)); // ranks that end in another way
	assert_false(oom_kills_explain(&k, -1, SIGTERM));
	assert_false(oom_kills_explain(&k, 0, 0));
	assert_true(oom_kills_are_open(&k));
	assert_true(oom_kills_explain(&k, -1, SIGKILL));
	assert_false(oom_kills_are_open(&k));
	assert_false(oom_kills_explain(&k, -1, SIGKILL)); // it explains one
}

static void a_shell_ends_with_its_status(void **state)
{
	struct oom_kills k = oom_kills_start(0);
	oom_kills_see(&k, 1, 100);
	assert_true(oom_kills_explain(&k, 137, 0));
}

static void two_kills_explain_two_ranks(void **state)
{
	struct oom_kills k = oom_kills_start(0);
	oom_kills_see(&k, 2, 100);
	assert_true(oom_kills_explain(&k, -1, SIGKILL));
	oom_kills_see(&k, 2, 100.1);
	assert_true(oom_kills_explain(&k, 137, 0));
	assert_false(oom_kills_explain(&k, -1, SIGKILL));
}

static void an_old_kill_explains_nothing(void **state)
{
	struct oom_kills k = oom_kills_start(0);
	oom_kills_see(&k, 1, 100);
	oom_kills_see(&k, 1, 109);
	assert_true(oom_kills_are_open(&k));
	oom_kills_see(&k, 1, 111);
	assert_false(oom_kills_explain(&k, -1, SIGKILL));
	oom_kills_see(&k, 2, 200); // an old one does not hide a new one
	assert_true(oom_kills_explain(&k, -1, SIGKILL));
	assert_false(oom_kills_explain(&k, -1, SIGKILL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kill_explains_the_rank_that_was_killed),
		cmocka_unit_test(a_shell_ends_with_its_status),
		cmocka_unit_test(two_kills_explain_two_ranks),
		cmocka_unit_test(an_old_kill_explains_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
