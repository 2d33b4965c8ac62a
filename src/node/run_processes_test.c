#include "base/mem.h"
#include "base/proc.h"
#include "node/run_processes.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

// Starts a shell that starts another process and waits, with this environment. Its children have the environment that
// it gives them.
static pid_t start(const char *script, const char *word)
{
	char *argv[] = {"sh", "-c", (char *)script, NULL};
	char *env[] = {"PATH=/usr/bin:/bin", (char *)word, NULL};
	struct proc_options options = {.argv = argv, .env = env, .in = -1, .out = -1, .err = -1, .session = true};
	pid_t pid = proc_spawn(&options, NULL, NULL);
	assert_true(pid > 0);
	return pid;
}

static char *unique(const char *name)
{
	return mem_printf("MUSTER_RUN=reap-%d-%s", (int)getpid(), name);
}

static size_t count(const char *word)
{
	autofree pid_t *pids = NULL;
	return run_processes_find(word, NULL, &pids);
}

static void carriers_and_their_families_go(void **state)
{
	autofree char *word = unique("a");
	autofree char *other = unique("ab"); // a word that begins the same is another word
	pid_t bystander = start("exec sleep 1000", other);
	// Ignores TERM, and has a child that has forgotten its environment.
	pid_t pid = start("trap '' TERM; env -i /bin/sleep 1000; :", word);
	while (count(word) < 2)
		usleep(1000);
	assert_int_equal(run_processes_kill(word, NULL, 10, NULL), 0);
	assert_int_equal(count(word), 0);
	assert_true(proc_started(pid) == 0);
	assert_true(proc_started(bystander) != 0);
	assert_int_equal(run_processes_kill(word, NULL, 10, NULL), 0);
	assert_int_equal(run_processes_kill(other, NULL, 10, NULL), 0);
	assert_true(proc_started(bystander) == 0);
}

static void what_forks_all_the_time_goes_too(void **state)
{
	autofree char *word = unique("forks");
	// Bounded, so that a failing test is no fork bomb.
	start("i=0; while [ $i -lt 20000 ]; do /bin/true & i=$((i+1)); done", word);
	start("i=0; while [ $i -lt 500 ]; do (exec sleep 100) & /bin/true; i=$((i+1)); done", word);
	while (count(word) < 4)
		usleep(1000);
	assert_int_equal(run_processes_kill(word, NULL, 10, NULL), 0);
	assert_int_equal(count(word), 0);
}

static void roots_are_told_by_their_start(void **state)
{
	autofree char *word = unique("roots");
	autofree char *other = unique("unlabelled");
	pid_t pid = start("exec sleep 1000", other);
	autojson json_t *reused =
		mem_json("[{s:i, s:I}]", "pid", (int)pid, "started", (json_int_t)proc_started(pid) - 1);
	autojson json_t *root = mem_json("[{s:i, s:I}]", "pid", (int)pid, "started", (json_int_t)proc_started(pid));
	assert_int_equal(run_processes_kill(word, reused, 10, NULL), 0);
	assert_true(proc_started(pid) != 0);
	assert_int_equal(run_processes_kill(word, root, 10, NULL), 0);
	assert_true(proc_started(pid) == 0);
}

// Who forks and ends while the list of processes is read leaves children that are not on that list.
static void children_of_who_has_just_ended_go_too(void **state)
{
	autofree char *word = unique("leaves");
	for (int i = 0; i < 100; i++) {
		pid_t pid = start("(exec sleep 1000) & (exec sleep 1000) & :", word);
		autojson json_t *root =
			mem_json("[{s:i, s:I}]", "pid", (int)pid, "started", (json_int_t)proc_started(pid));
		usleep((useconds_t)(i * 20));
		assert_int_equal(run_processes_kill(word, root, 10, NULL), 0);
		assert_int_equal(count(word), 0);
	}
}

static void never_the_caller(void **state)
{
	autojson json_t *me =
		mem_json("[{s:i, s:I}]", "pid", (int)getpid(), "started", (json_int_t)proc_started(getpid()));
	autofree char *word = unique("me");
	assert_int_equal(run_processes_kill(word, me, 10, NULL), 0);
}

// What a failed test has left.
static int tear_down(void **state)
{
	static const char *const names[] = {"a", "ab", "forks", "roots", "unlabelled", "me"};
	int rc = 0;
	for (size_t i = 0; i < countof(names); i++) {
		autofree char *word = unique(names[i]);
		rc |= run_processes_kill(word, NULL, 10, NULL);
	}
	return rc;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(carriers_and_their_families_go),
		cmocka_unit_test(what_forks_all_the_time_goes_too),
		cmocka_unit_test(roots_are_told_by_their_start),
		cmocka_unit_test(children_of_who_has_just_ended_go_too),
		cmocka_unit_test(never_the_caller),
	};
	return cmocka_run_group_tests(tests, NULL, tear_down);
}
