#include "controller/interrupt.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static void test_rule(void **state)
{
	assert_int_equal(interrupt_rule(0), INTERRUPT_NONE);
	assert_int_equal(interrupt_rule(1), INTERRUPT_GENTLY);
	assert_int_equal(interrupt_rule(2), INTERRUPT_AT_ONCE);
	assert_int_equal(interrupt_rule(7), INTERRUPT_AT_ONCE);
	assert_string_equal(interrupt_text(1), "stopping gently; Ctrl-C again stops at once");
	assert_string_equal(interrupt_text(2), "stopping at once");
}

static void test_sent_and_read(void **state)
{
	struct error err;
	struct interrupt got;
	int fd = interrupt_open(&err), self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	assert_true(fd >= 0 && self >= 0);
	assert_false(interrupt_next(fd, &got));
	assert_int_equal(interrupt_send(self, &err), 0);
	assert_true(interrupt_next(fd, &got));
	assert_string_equal(got.signal, "INT");
	assert_false(got.cluster_down);
	interrupt_send_cluster_down(getpid());
	assert_true(interrupt_next(fd, &got));
	assert_string_equal(got.signal, "TERM");
	assert_true(got.cluster_down);
	kill(getpid(), SIGTERM);
	assert_true(interrupt_next(fd, &got));
	assert_false(got.cluster_down);
	assert_false(interrupt_next(fd, &got));
	close(self);
	close(fd);
}

static void test_blocked(void **state)
{
	sigset_t mask;
	interrupt_block();
	sigprocmask(SIG_BLOCK, NULL, &mask);
	assert_true(sigismember(&mask, SIGINT) && sigismember(&mask, SIGTERM) && sigismember(&mask, SIGHUP));
	interrupt_unblock();
	sigprocmask(SIG_BLOCK, NULL, &mask);
	assert_false(sigismember(&mask, SIGINT) || sigismember(&mask, SIGTERM) || sigismember(&mask, SIGHUP));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule), cmocka_unit_test(test_sent_and_read), cmocka_unit_test(test_blocked)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
