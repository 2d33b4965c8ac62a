#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "cmd/cmd.h"
#include "run/run.h"
#include "wire/event.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct scene {
	char top[32];
	struct run *run;
	pid_t controller;
};

static int setup(void **state)
{
	struct scene *s = mem_alloc(sizeof *s);
	strcpy(s->top, "/tmp/cancel-test-XXXXXX");
	assert_non_null(mkdtemp(s->top));
	autojson json_t *plan = mem_json("{s:i}", "plan", 1);
	s->run = run_create(s->top, "job", "", 0, plan, NULL);
	assert_non_null(s->run);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	if (s->controller > 0) {
		kill(s->controller, SIGKILL);
		waitpid(s->controller, NULL, 0);
	}
	run_free(s->run);
	int rc = fs_remove(s->top, NULL);
	free(s);
	return rc;
}

static void event(struct run *run, json_t *tree)
{
	autojson json_t *owned = tree;
	if (run_event(run, owned, NULL) < 0)
		abort();
}

static void end(struct run *run, const char *outcome, int status)
{
	event(run, event_make("end", "s:s, s:n, s:i, s:f", "outcome", outcome, "why", "exit", status, "seconds", 1.5));
}

// Ends the run after so many interrupts; the first one makes it stopping. 0: dies of the first without a word.
static void control(struct run *run, int interrupts)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	for (int i = 0, number; i < interrupts; i++) {
		sigwait(&set, &number);
		if (i == 0)
			event(run, event_make("state", "s:s, s:s, s:s", "from", "running", "to", "stopping", "why",
					   "cancelled"));
	}
	if (interrupts == 0)
		sigprocmask(SIG_UNBLOCK, &set, NULL);
	while (interrupts == 0)
		pause();
	end(run, "cancelled", 130);
	_exit(0);
}

static void start_controller(struct scene *s, int interrupts)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL); // the child must not miss one
	s->controller = fork();
	assert_true(s->controller >= 0);
	if (s->controller == 0)
		control(s->run, interrupts);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	autofree char *path = run_path(s->run, "control.json");
	autofree char *text =
		mem_printf("{\"pid\": %d, \"started\": %llu}", (int)s->controller, proc_started(s->controller));
	assert_int_equal(fs_write(path, text, strlen(text), 0600, NULL), 0);
}

static int cancel(struct scene *s, const char *option, struct error *err)
{
	char *argv[] = {"cancel", "--runs", s->top, (char *)option, NULL};
	// What it prints must not get among the lines of the test.
	fflush(stdout);
	int kept = dup(1), null = open("/dev/null", O_WRONLY);
	dup2(null, 1);
	int status = cmd_cancel(option ? 4 : 3, argv, err);
	fflush(stdout);
	dup2(kept, 1);
	close(kept);
	close(null);
	return status;
}

static void test_gently(void **state)
{
	struct scene *s = *state;
	struct error err = {0};
	start_controller(s, 1);
	assert_int_equal(cancel(s, NULL, &err), 0);
	assert_int_equal(cancel(s, NULL, &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
	assert_non_null(strstr(err.text, "has ended before (cancelled): there is nothing to cancel"));
}

static void test_now(void **state)
{
	struct scene *s = *state;
	struct error err = {0};
	start_controller(s, 2);
	assert_int_equal(cancel(s, "--now", &err), 0);
}

static void test_dies(void **state)
{
	struct scene *s = *state;
	struct error err = {0};
	start_controller(s, 0);
	assert_int_equal(cancel(s, "--wait", &err), -1);
	assert_int_equal(err.code, ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "was killed; `muster reap`"));
}

static void test_lost(void **state)
{
	struct scene *s = *state;
	struct error err = {0};
	assert_int_equal(cancel(s, NULL, &err), -1);
	assert_int_equal(err.code, ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "has no controller any more"));
}

// The number in control.json may be somebody else's by now: this very process, which must not be signalled.
static void test_somebody_else(void **state)
{
	struct scene *s = *state;
	struct error err = {0};
	autofree char *path = run_path(s->run, "control.json");
	autofree char *text = mem_printf("{\"pid\": %d, \"started\": 1}", (int)getpid());
	assert_int_equal(fs_write(path, text, strlen(text), 0600, NULL), 0);
	assert_int_equal(cancel(s, NULL, &err), -1);
	assert_int_equal(err.code, ERROR_SYSTEM);
}

static void test_wrong_words(void **state)
{
	struct scene *s = *state;
	struct error err = {0};
	assert_int_equal(cancel(s, "--later", &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
	assert_non_null(strstr(err.text, "--later"));
	char *two[] = {"cancel", "a", "b", NULL}, *none[] = {"cancel", "--runs", s->top, "zebra", NULL};
	assert_int_equal(cmd_cancel(3, two, &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
	assert_int_equal(cmd_cancel(4, none, &err), -1);
	assert_non_null(strstr(err.text, "zebra"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_gently, setup, teardown),
		cmocka_unit_test_setup_teardown(test_now, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_somebody_else, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_words, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
