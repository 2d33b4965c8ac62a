#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "helper/pause.h"
#include "node/agent_processes.h"

#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/pause.XXXXXX";

static void remember(int signal)
{
}

// An agent: a record in its directory. Told to stop it writes "told", and ends once the file "go" is there.
static void be_an_agent(const char *dir)
{
	if (chdir(dir))
		_exit(9);
	struct sigaction action = {.sa_handler = remember};
	sigset_t set, before;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &before);
	sigaction(SIGTERM, &action, NULL);
	autofree char *record = mem_printf("{\"pid\": %d, \"started\": %llu}", (int)getpid(), proc_started(getpid()));
	fs_write("agent.json", record, strlen(record), 0600, NULL);
	sigdelset(&before, SIGTERM);
	sigsuspend(&before);
	fs_write("told", "", 0, 0600, NULL);
	while (!fs_exists("go"))
		poll(NULL, 0, 1);
	_exit(0);
}

static void wait_until(const char *dir, const char *file)
{
	autofree char *path = fs_join(dir, file);
	for (double end = clock_mono() + 10; !fs_exists(path); poll(NULL, 0, 1))
		assert_true(clock_mono() < end);
}

static pid_t start_agent(const char *dir)
{
	pid_t pid = fork();
	if (pid == 0)
		be_an_agent(dir);
	wait_until(dir, "agent.json");
	return pid;
}

static char *make_dir(const char *name)
{
	char *dir = mem_printf("%s/%s", top, name);
	assert_int_equal(fs_mkdirs(dir, 0700, NULL), 0);
	return dir;
}

static bool ends(pid_t pid, double seconds, int *status)
{
	pid_t gone;
	for (double end = clock_mono() + seconds; (gone = waitpid(pid, status, WNOHANG)) == 0 && clock_mono() < end;)
		poll(NULL, 0, 1);
	return gone == pid;
}

static bool is_among(pid_t pid, const pid_t *pids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

static void agents_are_found_by_their_records(void **state)
{
	autofree char *one = make_dir("one"), *two = make_dir("two");
	pid_t agent = start_agent(one), other = start_agent(two);
	autofree char *path = fs_join(two, "agent.json"); // as of one before, with the same pid
	autofree char *record = mem_printf("{\"pid\": %d, \"started\": 1}", (int)other);
	assert_int_equal(fs_write(path, record, strlen(record), 0600, NULL), 0);
	autofree pid_t *all = NULL, *below = NULL;
	size_t nall = agent_processes_find(&all), nbelow = agent_processes_find_below(&below);
	assert_true(is_among(agent, all, nall));
	assert_false(is_among(other, all, nall));
	assert_int_equal(nbelow, 1);
	assert_int_equal(below[0], agent);
	int status;
	kill(agent, SIGKILL);
	kill(other, SIGKILL);
	assert_true(ends(agent, 10, &status) && ends(other, 10, &status));
}

// It waits for the agent however long that takes.
static void passes_the_signal_on_and_waits(void **state)
{
	autofree char *dir = make_dir("three"), *go = fs_join(dir, "go");
	sigset_t set, before;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pid_t agent = start_agent(dir);
	sigprocmask(SIG_BLOCK, &set, &before); // it may come before pause looks
	pid_t pause = fork();
	if (pause == 0)
		_exit(pause_main(1000));
	sigprocmask(SIG_SETMASK, &before, NULL);
	kill(pause, SIGTERM);
	wait_until(dir, "told");
	int status;
	assert_false(ends(pause, 0.3, &status));
	assert_int_equal(fs_write(go, "", 0, 0600, NULL), 0);
	assert_true(ends(agent, 10, &status));
	assert_true(ends(pause, 10, &status));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 128 + SIGTERM);
}

// Agents of others who work on this machine are not to be told: a container of its own, as far as that is one.
static int set_up(void **state)
{
	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return -1;
	return mkdtemp(top) ? 0 : -1;
}

static int tear_down(void **state)
{
	return fs_remove(top, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agents_are_found_by_their_records),
		cmocka_unit_test(passes_the_signal_on_and_waits),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
