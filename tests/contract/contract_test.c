// The executor contract, once, against every row of executors[]. Agents are stand-ins that say hello by a file.
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "fixture.h"

#include <ctype.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

// What a process that knows nothing but the label finds.
static size_t count_left(const struct fixture *f, const char *label)
{
	struct cluster c = {.label = label};
	autojson json_t *found = json_array();
	assert_int_equal(f->row->left(&c, found, NULL), 0);
	return json_array_size(found);
}

// What a reaper finds of this run (others may be going on beside this test), told apart by whether its controller
// lives.
static size_t count_live(const struct fixture *f, bool live)
{
	struct cluster c = {0};
	autojson json_t *found = json_array();
	assert_int_equal(f->row->left(&c, found, NULL), 0);
	size_t i, count = 0;
	json_t *item;
	json_array_foreach (found, i, item)
		count += json_is_true(json_object_get(item, "live")) == live &&
			 strcmp(json_string_value(json_object_get(item, "run")), f->label) == 0;
	return count;
}

// Runs body in a process of its own that starts with nothing but the label; returns its wait status.
static int elsewhere(int (*body)(struct fixture *f), struct fixture *f)
{
	pid_t pid = fork();
	if (!pid)
		_exit(body(f) ? 1 : 0);
	int status = -1;
	waitpid(pid, &status, 0);
	return status;
}

static int just_up(struct fixture *f)
{
	return f->row->up(&f->c, NULL);
}

static int fresh_down(struct fixture *f)
{
	struct cluster c = {.label = f->label};
	return f->row->down(&c, NULL);
}

static int reap(struct fixture *f)
{
	struct cluster c = {0};
	return f->row->down(&c, NULL);
}

static void up(struct fixture *f)
{
	struct error err = {0};
	if (f->row->up(&f->c, &err))
		fail_msg("up: %s", err.text);
}

static void down(struct fixture *f)
{
	struct error err = {0};
	if (f->row->down(&f->c, &err))
		fail_msg("down: %s", err.text);
}

// --- the contract -----------------------------------------------------------

static void all_nodes_say_hello(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(f->row->check(f->c.plan, NULL), 0);
	up(f);
	struct fixture_process agents[3], ranks[3];
	autojson json_t *addresses = json_object();
	for (size_t k = 0; k < 3; k++) {
		autojson json_t *h = fixture_hello(f, k, FIXTURE_DEADLINE);
		assert_non_null(h);
		agents[k] = fixture_find_process(h, "pid");
		ranks[k] = fixture_find_process(h, "rank");
		assert_true(agents[k].pid > 0 && ranks[k].pid > 0);
		autofree char *want = fixture_token(k);
		assert_string_equal(fixture_text(h, "token"), want);
		assert_string_equal(fixture_text(h, "label"), f->label);
		assert_string_equal(fixture_text(h, "run"), f->label);
		assert_int_equal(fixture_number(h, "nodes"), 3);
		assert_int_equal(fixture_number(h, "lease"), 30);
		assert_true(!f->kind->claims || json_is_true(json_object_get(h, "claimed")));
		json_object_set_new(addresses, fixture_text(h, "address"), json_true());
	}
	assert_int_equal(json_object_size(addresses), 3);
	assert_true(count_left(f, f->label) >= f->kind->things);
	assert_int_equal(count_live(f, false), 0);
	assert_int_equal(elsewhere(reap, f), 0); // leaves a live run alone
	for (size_t k = 0; k < 3; k++)
		assert_true(fixture_is_alive(agents[k]));
	down(f);
	assert_int_equal(count_left(f, f->label), 0);
	for (size_t k = 0; k < 3; k++) {
		fixture_assert_gone(agents[k]);
		fixture_assert_gone(ranks[k]);
	}
}

static void check_refuses_and_touches_nothing(void **state)
{
	struct fixture *f = *state;
	setenv("MUSTER_AGENT", "/nonexistent/agent", 1);
	struct error err = {0};
	assert_int_equal(f->row->check(f->c.plan, &err), -1);
	assert_non_null(strstr(err.text, "/nonexistent/agent"));
	assert_int_equal(f->row->up(&f->c, &err), -1);
	setenv("MUSTER_AGENT", STANDIN, 1);
	fixture_use_plan(f, 2, 0.0001, 0);
	assert_int_equal(f->row->check(f->c.plan, &err), -1);
	assert_non_null(strstr(err.text, "0.0001"));
	assert_int_equal(f->row->up(&f->c, &err), -1);
	fixture_use_plan(f, 150, 0, 0);
	struct rlimit before, few;
	getrlimit(RLIMIT_NOFILE, &before);
	few = (struct rlimit){.rlim_cur = 150, .rlim_max = before.rlim_max};
	setrlimit(RLIMIT_NOFILE, &few);
	int rc = f->row->check(f->c.plan, &err);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(rc, -1);
	assert_non_null(strstr(err.text, "150 nodes"));
	assert_false(fs_exists(f->nodes));
	assert_int_equal(count_left(f, f->label), 0);
}

static void one_node_fails_to_start(void **state)
{
	struct fixture *f = *state;
	fixture_wish(f, "fails", "1");
	up(f);
	autojson json_t *first = fixture_hello(f, 0, FIXTURE_DEADLINE);
	autojson json_t *third = fixture_hello(f, 2, FIXTURE_DEADLINE);
	assert_non_null(first);
	assert_non_null(third);
	assert_null(fixture_hello(f, 1, 0));
	struct fixture_process before = fixture_find_process(first, "pid");
	assert_true(before.pid > 0);
	// up makes what is missing and leaves the others alone.
	fixture_wish(f, "fails", NULL);
	json_t *found = NULL;
	for (double end = clock_mono() + FIXTURE_DEADLINE; !found && clock_mono() < end;) {
		up(f); // of a distant one that is gone it may hear a moment later
		found = fixture_hello(f, 1, 0.3);
	}
	autojson json_t *second = found;
	assert_non_null(second);
	autojson json_t *again = fixture_hello(f, 0, 0);
	assert_int_equal(fixture_find_process(again, "pid").pid, before.pid);
	assert_true(fixture_is_alive(before));
	assert_string_not_equal(fixture_text(second, "address"), fixture_text(first, "address"));
	down(f);
	assert_int_equal(count_left(f, f->label), 0);
}

static void an_agent_that_cannot_start_says_why(void **state)
{
	struct fixture *f = *state;
	fixture_wish(f, "speaks", "no such library");
	for (size_t nodes = 2; nodes <= f->kind->many; nodes += 1998) {
		fixture_use_plan(f, nodes, 0, 0);
		struct error err = {0};
		assert_int_equal(f->row->up(&f->c, &err), -1);
		assert_non_null(strstr(err.text, "no such library"));
		down(f);
		assert_int_equal(count_left(f, f->label), 0);
	}
}

static void down_before_and_twice(void **state)
{
	struct fixture *f = *state;
	down(f);
	assert_int_equal(count_left(f, f->label), 0);
	up(f);
	down(f); // at once: the agents may not have said hello yet
	down(f);
	assert_int_equal(count_left(f, f->label), 0);
	up(f);
	autojson json_t *h = fixture_hello(f, 2, FIXTURE_DEADLINE);
	assert_non_null(h);
	down(f);
	assert_int_equal(count_left(f, f->label), 0);
}

static void up_that_is_cancelled(void **state)
{
	struct fixture *f = *state;
	f->stop = FIXTURE_CANCEL;
	f->stop_at = 1;
	struct error err = {0};
	assert_int_equal(f->row->up(&f->c, &err), -1);
	assert_int_equal(err.code, ERROR_CANCELLED);
	down(f);
	assert_int_equal(count_left(f, f->label), 0);
}

static void down_by_a_fresh_process(void **state)
{
	struct fixture *f = *state;
	up(f);
	autojson json_t *h = fixture_hello(f, 0, FIXTURE_DEADLINE);
	assert_non_null(h);
	struct fixture_process agent = fixture_find_process(h, "pid"), rank = fixture_find_process(h, "rank");
	assert_true(agent.pid > 0 && rank.pid > 0);
	assert_int_equal(elsewhere(fresh_down, f), 0);
	assert_int_equal(count_left(f, f->label), 0);
	fixture_assert_gone(agent);
	fixture_assert_gone(rank);
}

static void controller_killed_in_the_middle_of_up(void **state)
{
	struct fixture *f = *state;
	for (size_t k = 0; k < 3; k++) {
		f->stop = FIXTURE_KILL;
		f->stop_at = k;
		int status = elsewhere(just_up, f);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_true(count_left(f, f->label) > 0);
		assert_int_equal(count_live(f, true), 0);
		assert_int_equal(elsewhere(reap, f), 0);
		assert_int_equal(count_left(f, f->label), 0);
	}
}

static void controller_gone_after_up(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(elsewhere(just_up, f), 0);
	autojson json_t *h = fixture_hello(f, 1, FIXTURE_DEADLINE);
	assert_non_null(h);
	struct fixture_process agent = fixture_find_process(h, "pid"), rank = fixture_find_process(h, "rank");
	assert_true(agent.pid > 0 && rank.pid > 0);
	assert_int_equal(count_live(f, true), 0);
	assert_true(count_live(f, false) >= f->kind->things);
	assert_int_equal(elsewhere(reap, f), 0);
	assert_int_equal(count_left(f, f->label), 0);
	fixture_assert_gone(agent);
	fixture_assert_gone(rank);
}

static void agents_killed_before_down(void **state)
{
	struct fixture *f = *state;
	up(f);
	for (size_t k = 0; k < 3; k++) {
		autojson json_t *h = fixture_hello(f, k, FIXTURE_DEADLINE);
		assert_non_null(h);
		pid_t agent = fixture_find_process(h, "pid").pid, rank = fixture_find_process(h, "rank").pid;
		assert_true(agent > 0 && rank > 0);
		kill(rank, SIGKILL);
		kill(agent, SIGKILL);
	}
	down(f);
	assert_int_equal(count_left(f, f->label), 0);
}

static void two_runs_do_not_meet(void **state)
{
	struct fixture *f = *state;
	autofree char *label = mem_printf("%s-other", f->label);
	struct cluster other = f->c;
	other.label = label;
	struct fixture g = {.dir = f->dir, .label = label};
	up(f);
	assert_int_equal(f->row->up(&other, NULL), 0);
	autojson json_t *seen = json_object();
	for (size_t k = 0; k < 3; k++) {
		autojson json_t *mine = fixture_hello(f, k, FIXTURE_DEADLINE);
		autojson json_t *theirs = fixture_hello(&g, k, FIXTURE_DEADLINE);
		assert_non_null(mine);
		assert_non_null(theirs);
		json_object_set_new(seen, fixture_text(mine, "address"), json_true());
		json_object_set_new(seen, fixture_text(theirs, "address"), json_true());
	}
	assert_int_equal(json_object_size(seen), f->kind->addresses);
	down(f);
	assert_int_equal(count_left(f, f->label), 0);
	assert_true(count_left(f, label) >= f->kind->things);
	assert_int_equal(f->row->down(&other, NULL), 0);
	assert_int_equal(count_left(f, label), 0);
}

static bool can_limit(struct fixture *f)
{
	fixture_use_plan(f, 1, 0.5, 64 << 20);
	struct error err = {0};
	if (!(f->kind->groups ? executor_find("local", &err) : f->row)->check(f->c.plan, &err))
		return true;
	if (getenv("MUSTER_TEST_STRICT"))
		fail_msg("limits cannot be tested: %s", err.text);
	print_message("limits cannot be tested: %s\n", err.text);
	return false;
}

// What the kernel lets the process have, version 1 or 2; -1 when there is no such limit.
static long long memory_limit(pid_t pid)
{
	autofree char *path = mem_printf("/proc/%d/cgroup", (int)pid);
	autofree char *text = fs_read(path, 65536, NULL, NULL);
	const char *v1 = text ? strstr(text, ":memory:") : NULL, *v2 = text && !v1 ? strstr(text, "0::") : NULL;
	const char *group = v1 ? v1 + 8 : v2 ? v2 + 3 : "";
	autofree char *file = mem_printf("/sys/fs/cgroup%s%.*s/%s", v1 ? "/memory" : "", (int)strcspn(group, "\n"),
		group, v1 ? "memory.limit_in_bytes" : "memory.max");
	autofree char *limit = fs_read(file, 4096, NULL, NULL);
	return limit && isdigit((unsigned char)*limit) ? atoll(limit) : -1;
}

// An orphan without the label in its environment is out of sight for everything but the control group.
static void limits_hold_and_go(void **state)
{
	struct fixture *f = *state;
	if (!can_limit(f))
		skip();
	fixture_use_plan(f, 2, 0.5, 64 << 20);
	up(f);
	struct fixture_process ranks[2];
	for (size_t k = 0; k < 2; k++) {
		autojson json_t *h = fixture_hello(f, k, FIXTURE_DEADLINE);
		assert_non_null(h);
		ranks[k] = fixture_find_process(h, "rank");
		assert_true(ranks[k].pid > 0);
		assert_int_equal(memory_limit(ranks[k].pid), 64 << 20);
		autofree char *path = mem_printf("/proc/%d/cgroup", (int)ranks[k].pid);
		autofree char *text = fs_read(path, 65536, NULL, NULL);
		autofree char *group = mem_printf("/node-%zu", k);
		assert_true(!f->kind->groups || (strstr(text, f->label) && strstr(text, group)));
		pid_t agent = fixture_find_process(h, "pid").pid;
		assert_true(agent > 0);
		kill(agent, SIGKILL);
	}
	down(f);
	assert_int_equal(count_left(f, f->label), 0);
	for (size_t k = 0; k < 2; k++)
		fixture_assert_gone(ranks[k]);
}

// What rank 0 leaves in the file "status".
static char *status_of_rank(const struct fixture *f, double seconds)
{
	autofree char *path = fs_join(f->dir, "status");
	double end = clock_mono() + seconds;
	while (!fs_exists(path) && clock_mono() < end)
		poll(NULL, 0, 5);
	return fs_read(path, 4096, NULL, NULL);
}

static void too_much_memory_is_not_had(void **state)
{
	struct fixture *f = *state;
	if (!can_limit(f))
		skip();
	fixture_wish(
		f, "runs", "head -c 200000000 /dev/zero | tail >/dev/null; echo $? >new; mv new status; sleep 1000");
	fixture_use_plan(f, 1, 0, 64 << 20);
	up(f);
	autojson json_t *h = fixture_hello(f, 0, FIXTURE_DEADLINE);
	assert_non_null(h);
	autofree char *status = status_of_rank(f, FIXTURE_DEADLINE);
	assert_non_null(status);
	assert_string_equal(status, "137\n");
	assert_true(fixture_find_process(h, "pid").pid >
		    0); // the agent is outside of the limit, or was not what used it up
	if (f->kind->groups)
		assert_int_equal(cgroup_oom_kills(fixture_text(h, "cgroups")), 1);
}

// Seconds of a processor that the process has had.
static double cpu_time(pid_t pid)
{
	autofree char *path = mem_printf("/proc/%d/stat", (int)pid);
	autofree char *text = fs_read(path, 4096, NULL, NULL);
	assert_non_null(text);
	unsigned long user = 0, sys = 0;
	assert_int_equal(
		sscanf(strrchr(text, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys), 2);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static void too_much_cpu_is_not_had(void **state)
{
	struct fixture *f = *state;
	if (!can_limit(f))
		skip();
	fixture_wish(f, "runs", "while :; do :; done");
	fixture_use_plan(f, 1, 0.1, 0);
	up(f);
	autojson json_t *h = fixture_hello(f, 0, FIXTURE_DEADLINE);
	assert_non_null(h);
	struct fixture_process rank = fixture_find_process(h, "rank");
	assert_true(rank.pid > 0);
	// A share is measured over a while; what the machine does beside it only makes it smaller.
	double begin = clock_mono(), before = cpu_time(rank.pid), used;
	do {
		poll(NULL, 0, 50);
		used = cpu_time(rank.pid) - before;
	} while (clock_mono() < begin + 1 || (used <= 0 && clock_mono() < begin + FIXTURE_DEADLINE));
	double share = used / (clock_mono() - begin);
	assert_true(used > 0 && share < 0.35); // 0.1, and some slack
}

static void limits_of_a_killed_controller_go(void **state)
{
	struct fixture *f = *state;
	if (!can_limit(f))
		skip();
	fixture_use_plan(f, 2, 0.5, 0);
	assert_int_equal(elsewhere(just_up, f), 0);
	autojson json_t *h = fixture_hello(f, 1, FIXTURE_DEADLINE);
	assert_non_null(h);
	fs_remove(f->nodes, NULL); // even without the run's directory
	assert_true(count_live(f, false) > 0);
	assert_int_equal(elsewhere(reap, f), 0);
	assert_int_equal(count_left(f, f->label), 0);
}

static void unknown_name(void **state)
{
	struct error err = {0};
	assert_null(executor_find("nowhere", &err));
	assert_int_equal(err.code, ERROR_USAGE);
	assert_non_null(strstr(err.text, "nowhere"));
	for (size_t i = 0; executors[i]; i++) {
		assert_non_null(strstr(err.text, executors[i]->traits->name));
		assert_ptr_equal(executor_find(executors[i]->traits->name, &err), executors[i]);
		if (!fixture_find_kind(executors[i]->traits->name))
			fail_msg("no row of kinds[] is for the executor '%s'", executors[i]->traits->name);
		assert_true(executors[i]->check && executors[i]->up && executors[i]->down && executors[i]->left);
	}
	assert_null(executor_find("locl", &err));
	assert_non_null(strstr(err.text, "did you mean 'local'"));
}

#define each(function)                                                                                                 \
	{                                                                                                              \
		.name = #function, .test_func = function, .setup_func = fixture_set_up,                                \
		.teardown_func = fixture_tear_down                                                                     \
	}

static bool is_wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(name, argv[i]) == 0)
			return true;
	return false;
}

// One group over the rows that are named: a test program prints one plan.
int main(int argc, char **argv)
{
	static const struct CMUnitTest contract[] = {
		each(all_nodes_say_hello),
		each(check_refuses_and_touches_nothing),
		each(one_node_fails_to_start),
		each(an_agent_that_cannot_start_says_why),
		each(down_before_and_twice),
		each(up_that_is_cancelled),
		each(down_by_a_fresh_process),
		each(controller_killed_in_the_middle_of_up),
		each(controller_gone_after_up),
		each(agents_killed_before_down),
		each(two_runs_do_not_meet),
		each(limits_hold_and_go),
		each(too_much_memory_is_not_had),
		each(too_much_cpu_is_not_had),
		each(limits_of_a_killed_controller_go),
	};
	struct CMUnitTest *tests = mem_alloc(sizeof *tests);
	size_t count = 0;
	tests[count++] = (struct CMUnitTest)cmocka_unit_test(unknown_name);
	for (size_t i = 0; executors[i]; i++) {
		if (!is_wanted(executors[i]->traits->name, argc, argv))
			continue;
		tests = mem_resize(tests, (count + countof(contract)) * sizeof *tests);
		for (size_t j = 0; j < countof(contract); j++, count++) {
			tests[count] = contract[j];
			tests[count].name = mem_printf("%s: %s", executors[i]->traits->name, contract[j].name);
			tests[count].initial_state = (void *)executors[i];
		}
	}
	int failed = _cmocka_run_group_tests("executors", tests, count, NULL, NULL);
	for (size_t i = 1; i < count; i++)
		free((char *)tests[i].name);
	free(tests);
	return failed;
}
