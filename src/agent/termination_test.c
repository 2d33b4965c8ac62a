#include "agent/termination.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "fakes/agent.h"

#include <poll.h>
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

struct heard {
	int told, alone;
};

static void on_told(void *data)
{
	struct heard *h = data;
	h->told++;
}

static void on_alone(void *data)
{
	struct heard *h = data;
	assert_int_equal(h->told, 1);
	h->alone++;
}

static struct termination *watch(struct heard *h)
{
	termination_block();
	struct termination *t = termination_watch(NULL, on_told, on_alone, h, NULL);
	assert_non_null(t);
	return t;
}

static void told_once_whatever_comes(void **state)
{
	struct heard h = {0};
	struct termination *t = watch(&h);
	fake_watches_read();
	assert_int_equal(h.told + h.alone, 0);
	for (int i = 0; i < 3; i++) {
		kill(getpid(), SIGTERM);
		fake_watches_read();
		assert_true(h.told == 1 && h.alone == 1);
	}
	termination_free(t);
}

// The agent of a job on a persistent cluster, below the cluster's.
static pid_t start_agent(const char *dir)
{
	pid_t pid = fork();
	if (pid == 0) {
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		autofree char *record =
			mem_printf("{\"pid\": %d, \"started\": %llu}", (int)getpid(), proc_started(getpid()));
		if (chdir(dir) == 0)
			fs_write("agent.json", record, strlen(record), 0600, NULL);
		for (;;)
			pause();
	}
	autofree char *path = fs_join(dir, "agent.json");
	for (double end = clock_mono() + 10; !fs_exists(path); poll(NULL, 0, 1))
		assert_true(clock_mono() < end);
	return pid;
}

static void agents_below_are_told_and_waited_for(void **state)
{
	char dir[] = "/tmp/termination.XXXXXX";
	struct heard h = {0};
	struct termination *t = watch(&h);
	struct loop_timer *timer = fake_timer_newest();
	assert_non_null(mkdtemp(dir));
	pid_t agent = start_agent(dir);
	int status;
	kill(agent, SIGSTOP); // so that the signal waits; one that has not stopped yet would be ended by it
	assert_int_equal(waitpid(agent, &status, WUNTRACED), agent);
	kill(getpid(), SIGTERM);
	fake_watches_read();
	assert_true(h.told == 1 && h.alone == 0);
	fake_timer_fire(timer);
	assert_int_equal(h.alone, 0);
	kill(agent, SIGCONT);
	assert_int_equal(waitpid(agent, &status, 0), agent);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	fake_timer_fire(timer);
	assert_int_equal(h.alone, 1);
	assert_true(fake_timer_seconds(timer) < 0);
	termination_free(t);
	fs_remove(dir, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told_once_whatever_comes),
		cmocka_unit_test(agents_below_are_told_and_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
