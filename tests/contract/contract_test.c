// The executor contract, once, against every row of executors[]. Agents are stand-ins that say hello by a file.
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "exec/executor.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE 20.0

// What differs between the rows, as far as these tests see it.
struct kind {
	const char *name;
	size_t things;    // that three nodes consist of, at the least
	size_t addresses; // that two runs of three nodes have together
	size_t many; // nodes that cannot start, once more than can be told before somebody reads it, where that is one
		     // text for all
	bool claims; // addresses, by a descriptor
	bool groups; // control groups of this machine, for the ranks and not the agent
	void (*dress)(json_t *plan); // what its plans have besides
};

static const struct executor *row; // the executor under test
static const struct kind *kind;    // of this row

struct fixture {
	char *dir, *url, *nodes, *label;
	struct cluster c;
	atomic_bool cancelled;
	size_t stop_at; // the node whose token stops up, and how
	int stop_how;   // 0 not, 1 cancel, 9 kill this process
};

static char *token(const struct cluster *c, size_t node)
{
	struct fixture *f = c->token_data;
	if (f->stop_how && node == f->stop_at) {
		if (f->stop_how == 9)
			raise(SIGKILL);
		f->cancelled = true;
	}
	return mem_printf("%064zx", node);
}

static void dress_in_hosts(json_t *plan) // of the farm
{
	size_t k;
	json_t *node;
	json_array_foreach (json_object_get(plan, "nodes"), k, node) {
		autofree char *host = mem_printf("h%zu", k % 3);
		json_object_set_new(node, "host", mem_json("{s:s}", "host", host));
	}
}

static void dress_in_containers(json_t *plan)
{
	size_t k;
	json_t *node;
	json_array_foreach (json_object_get(plan, "nodes"), k, node) {
		autofree char *name = mem_printf("node-%zu", k);
		autojson json_t *more = mem_json(
			"{s:s, s:s, s:i, s:s}", "name", name, "role", "worker", "index", (int)k, "image", "standin:1");
		json_object_update(node, more);
	}
	autofree char *volume = mem_printf("%s:/standin", getenv("STANDIN_DIR"));
	json_object_set_new(plan, "volumes", mem_json("[s]", volume));
}

// Each shares the directory with all machines of the cluster. What a persistent cluster has: one node that is lost does
// not take the others with it.
static void dress_in_pods(json_t *plan)
{
	dress_in_containers(plan);
	json_object_del(plan, "volumes");
	json_t *pods = mem_json("{s:[{s:s, s:s, s:s}], s:s, s:{s:{s:i}}}", "volumes", "name", "standin", "mount_path",
		"/standin", "host_path", getenv("STANDIN_DIR"), "image_pull_policy", "Never", "pod", "spec",
		"terminationGracePeriodSeconds", 1);
	size_t k;
	json_t *node;
	json_array_foreach (json_object_get(plan, "nodes"), k, node)
		json_object_set_new(node, "image", json_string("localhost/standin:1"));
	json_object_set_new(plan, "kubernetes", pods);
	json_object_set_new(plan, "actions", json_object());
}

static const struct kind kinds[] = {
	{.name = "local",
		.things = 7,
		.addresses = 6,
		.many = 2000,
		.claims = true,
		.groups = true}, // agents, their ranks, a directory
	{.name = "ssh", .things = 7, .addresses = 3, .many = 2, .groups = true, .dress = dress_in_hosts}, // a host has
													  // one address
	{.name = "docker",
		.things = 4,
		.addresses = 6,
		.many = 2,
		.dress = dress_in_containers}, // containers, a network
	{.name = "kubernetes",
		.things = 5,
		.addresses = 6,
		.many = 2,
		.dress = dress_in_pods}, // pods, a Job, an intent
};

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < countof(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	fail_msg("no row of kinds[] is for the executor '%s'", name);
	return NULL;
}

static json_t *make_plan(size_t nodes, double cpus, long long memory)
{
	json_t *list = json_array();
	for (size_t k = 0; k < nodes; k++) {
		json_t *node = mem_json("{s:i, s:n, s:n}", "node", (int)k, "cpus", "memory");
		if (cpus > 0)
			json_object_set_new(node, "cpus", json_real(cpus));
		if (memory > 0)
			json_object_set_new(node, "memory", json_integer(memory));
		json_array_append_new(list, node);
	}
	json_t *plan = mem_json("{s:i, s:s, s:s, s:o, s:i, s:i}", "plan", 1, "name", "contract", "executor",
		row->traits->name, "nodes", list, "lease", 30, "heartbeat", 5);
	if (kind->dress)
		kind->dress(plan);
	return plan;
}

static int set_up(void **state)
{
	row = *state;
	kind = find_kind(row->traits->name);
	static int serial;
	const char *base = getenv("CONTRACT_DIR");
	autofree char *template = mem_printf("%s/contract.XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(template) || chmod(template, 0755))
		return -1;
	struct fixture *f = mem_alloc(sizeof *f);
	f->dir = mem_strdup(template);
	f->url = mem_strdup("wss://127.0.0.1:9"); // nobody is there, nobody dials it
	setenv("STANDIN_DIR", f->dir, 1);
	f->nodes = fs_join(f->dir, "nodes");
	f->label = mem_printf("contract-%d-%d", (int)getpid(), serial++);
	setenv("MUSTER_NODES_DIR", f->nodes, 1);
	setenv("MUSTER_AGENT", STANDIN, 1);
	f->c = (struct cluster){.label = f->label,
		.plan = make_plan(3, 0, 0),
		.run_dir = f->dir,
		.url = f->url,
		.fingerprint = "00",
		.token = token,
		.token_data = f,
		.cancelled = &f->cancelled};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int rc = row->down(&f->c, NULL);
	rc |= fs_remove(f->dir, NULL);
	json_decref((json_t *)f->c.plan);
	free(f->dir);
	free(f->url);
	free(f->nodes);
	free(f->label);
	free(f);
	return rc;
}

static void use_plan(struct fixture *f, json_t *plan)
{
	json_decref((json_t *)f->c.plan);
	f->c.plan = plan;
}

// How the stand-ins are to behave: see standin.c. NULL: as usual.
static void wish(const struct fixture *f, const char *name, const char *text)
{
	autofree char *path = fs_join(f->dir, name);
	if (text)
		assert_int_equal(fs_write(path, text, strlen(text), 0600, NULL), 0);
	else
		unlink(path);
}

// The hello of node K, NULL when it does not come before the deadline.
static json_t *hello(const struct fixture *f, size_t k, double seconds)
{
	autofree char *path = mem_printf("%s/hello-%s-%zu", f->dir, f->label, k);
	for (double end = clock_mono() + seconds;; poll(NULL, 0, 2)) {
		autofree char *text = fs_read(path, 65536, NULL, NULL);
		if (text)
			return json_loads(text, 0, NULL);
		if (clock_mono() > end)
			return NULL;
	}
}

static long member(const json_t *tree, const char *name)
{
	return (long)json_integer_value(json_object_get(tree, name));
}

// The last number of a process's NSpid: what it is called where it lives.
static long inner_pid(const char *proc)
{
	autofree char *path = mem_printf("%s/status", proc);
	autofree char *text = fs_read(path, 65536, NULL, NULL);
	const char *line = text ? strstr(text, "\nNSpid:") : NULL;
	if (!line)
		return 0;
	autofree char *own = mem_strndup(line + 1, strcspn(line + 1, "\n"));
	return atol(strrchr(own, '\t') + 1);
}

// The process that a hello calls by this name, as this name space numbers it; 0 when there is none.
static pid_t process(const json_t *h, const char *name)
{
	pid_t found = 0;
	DIR *d = opendir("/proc");
	for (struct dirent *e; d && !found && (e = readdir(d));) {
		char space[64] = "";
		autofree char *proc = mem_printf("/proc/%s", e->d_name), *link = mem_printf("%s/ns/pid", proc);
		if (isdigit((unsigned char)*e->d_name) && readlink(link, space, sizeof space - 1) > 0 &&
			strcmp(space, json_string_value(json_object_get(h, "space"))) == 0 &&
			inner_pid(proc) == member(h, name))
			found = atoi(e->d_name);
	}
	closedir(d);
	return found;
}

// What a process that knows nothing but the label finds.
static size_t count_left(const char *label)
{
	struct cluster c = {.label = label};
	autojson json_t *found = json_array();
	assert_int_equal(row->left(&c, found, NULL), 0);
	return json_array_size(found);
}

// What a reaper finds of this run (others may be going on beside this test), told apart by whether its controller
// lives.
static size_t count_live(const struct fixture *f, bool live)
{
	struct cluster c = {0};
	autojson json_t *found = json_array();
	assert_int_equal(row->left(&c, found, NULL), 0);
	size_t i, count = 0;
	json_t *item;
	json_array_foreach (found, i, item)
		count += json_is_true(json_object_get(item, "live")) == live &&
			 strcmp(json_string_value(json_object_get(item, "run")), f->label) == 0;
	return count;
}

struct seen {
	pid_t pid;
	unsigned long long started;
};

static struct seen see(pid_t pid)
{
	return (struct seen){pid, proc_started(pid)};
}

// Another process may have the pid by now.
static void assert_gone(struct seen seen)
{
	double end = clock_mono() + DEADLINE;
	while (proc_alive(seen.pid, seen.started) && clock_mono() < end)
		poll(NULL, 0, 2);
	assert_false(proc_alive(seen.pid, seen.started));
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
	return row->up(&f->c, NULL);
}

static int fresh_down(struct fixture *f)
{
	struct cluster c = {.label = f->label};
	return row->down(&c, NULL);
}

static int reap(struct fixture *f)
{
	struct cluster c = {0};
	return row->down(&c, NULL);
}

static void up(struct fixture *f)
{
	struct error err = {0};
	if (row->up(&f->c, &err))
		fail_msg("up: %s", err.text);
}

static void down(struct fixture *f)
{
	struct error err = {0};
	if (row->down(&f->c, &err))
		fail_msg("down: %s", err.text);
}

// ---------------------------------------------------------------------------

static void all_nodes_say_hello(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(row->check(f->c.plan, NULL), 0);
	up(f);
	struct seen agents[3], ranks[3];
	autojson json_t *addresses = json_object();
	for (size_t k = 0; k < 3; k++) {
		autojson json_t *h = hello(f, k, DEADLINE);
		assert_non_null(h);
		agents[k] = see(process(h, "pid"));
		ranks[k] = see(process(h, "rank"));
		assert_true(agents[k].pid > 0 && ranks[k].pid > 0);
		autofree char *want = token(&f->c, k);
		assert_string_equal(json_string_value(json_object_get(h, "token")), want);
		assert_string_equal(json_string_value(json_object_get(h, "label")), f->label);
		assert_string_equal(json_string_value(json_object_get(h, "run")), f->label);
		assert_int_equal(member(h, "nodes"), 3);
		assert_int_equal(member(h, "lease"), 30);
		assert_true(!kind->claims || json_is_true(json_object_get(h, "claimed")));
		json_object_set_new(addresses, json_string_value(json_object_get(h, "address")), json_true());
	}
	assert_int_equal(json_object_size(addresses), 3);
	assert_true(count_left(f->label) >= kind->things);
	assert_int_equal(count_live(f, false), 0);
	assert_int_equal(elsewhere(reap, f), 0); // leaves a live run alone
	for (size_t k = 0; k < 3; k++)
		assert_true(proc_alive(agents[k].pid, agents[k].started));
	down(f);
	assert_int_equal(count_left(f->label), 0);
	for (size_t k = 0; k < 3; k++) {
		assert_gone(agents[k]);
		assert_gone(ranks[k]);
	}
}

static void check_refuses_and_touches_nothing(void **state)
{
	struct fixture *f = *state;
	setenv("MUSTER_AGENT", "/nonexistent/agent", 1);
	struct error err = {0};
	assert_int_equal(row->check(f->c.plan, &err), -1);
	assert_non_null(strstr(err.text, "/nonexistent/agent"));
	assert_int_equal(row->up(&f->c, &err), -1);
	setenv("MUSTER_AGENT", STANDIN, 1);
	use_plan(f, make_plan(2, 0.0001, 0));
	assert_int_equal(row->check(f->c.plan, &err), -1);
	assert_non_null(strstr(err.text, "0.0001"));
	assert_int_equal(row->up(&f->c, &err), -1);
	use_plan(f, make_plan(150, 0, 0));
	struct rlimit before, few;
	getrlimit(RLIMIT_NOFILE, &before);
	few = (struct rlimit){.rlim_cur = 150, .rlim_max = before.rlim_max};
	setrlimit(RLIMIT_NOFILE, &few);
	int rc = row->check(f->c.plan, &err);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(rc, -1);
	assert_non_null(strstr(err.text, "150 nodes"));
	assert_false(fs_exists(f->nodes));
	assert_int_equal(count_left(f->label), 0);
}

static void one_node_fails_to_start(void **state)
{
	struct fixture *f = *state;
	wish(f, "fails", "1");
	up(f);
	autojson json_t *first = hello(f, 0, DEADLINE);
	autojson json_t *third = hello(f, 2, DEADLINE);
	assert_non_null(first);
	assert_non_null(third);
	assert_null(hello(f, 1, 0));
	pid_t before = process(first, "pid");
	// up makes what is missing and leaves the others alone.
	wish(f, "fails", NULL);
	json_t *found = NULL;
	for (double end = clock_mono() + DEADLINE; !found && clock_mono() < end;) {
		up(f); // of a distant one that is gone it may hear a moment later
		found = hello(f, 1, 0.3);
	}
	autojson json_t *second = found;
	assert_non_null(second);
	autojson json_t *again = hello(f, 0, 0);
	assert_int_equal(process(again, "pid"), before);
	assert_string_not_equal(json_string_value(json_object_get(second, "address")),
		json_string_value(json_object_get(first, "address")));
	down(f);
	assert_int_equal(count_left(f->label), 0);
}

static void an_agent_that_cannot_start_says_why(void **state)
{
	struct fixture *f = *state;
	wish(f, "speaks", "no such library");
	for (size_t nodes = 2; nodes <= kind->many; nodes += 1998) {
		use_plan(f, make_plan(nodes, 0, 0));
		struct error err = {0};
		assert_int_equal(row->up(&f->c, &err), -1);
		assert_non_null(strstr(err.text, "no such library"));
		down(f);
		assert_int_equal(count_left(f->label), 0);
	}
}

static void down_before_and_twice(void **state)
{
	struct fixture *f = *state;
	down(f);
	assert_int_equal(count_left(f->label), 0);
	up(f);
	down(f); // at once: the agents may not have said hello yet
	down(f);
	assert_int_equal(count_left(f->label), 0);
	up(f);
	json_decref(hello(f, 2, DEADLINE));
	down(f);
	assert_int_equal(count_left(f->label), 0);
}

static void up_that_is_cancelled(void **state)
{
	struct fixture *f = *state;
	f->stop_how = 1;
	f->stop_at = 1;
	struct error err = {0};
	assert_int_equal(row->up(&f->c, &err), -1);
	assert_int_equal(err.code, ERROR_CANCELLED);
	down(f);
	assert_int_equal(count_left(f->label), 0);
}

static void down_by_a_fresh_process(void **state)
{
	struct fixture *f = *state;
	up(f);
	autojson json_t *h = hello(f, 0, DEADLINE);
	assert_non_null(h);
	struct seen agent = see(process(h, "pid")), rank = see(process(h, "rank"));
	assert_true(agent.pid > 0 && rank.pid > 0);
	assert_int_equal(elsewhere(fresh_down, f), 0);
	assert_int_equal(count_left(f->label), 0);
	assert_gone(agent);
	assert_gone(rank);
}

static void controller_killed_in_the_middle_of_up(void **state)
{
	struct fixture *f = *state;
	for (size_t k = 0; k < 3; k++) {
		f->stop_how = 9;
		f->stop_at = k;
		int status = elsewhere(just_up, f);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_true(count_left(f->label) > 0);
		assert_int_equal(count_live(f, true), 0);
		assert_int_equal(elsewhere(reap, f), 0);
		assert_int_equal(count_left(f->label), 0);
	}
}

static void controller_gone_after_up(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(elsewhere(just_up, f), 0);
	autojson json_t *h = hello(f, 1, DEADLINE);
	assert_non_null(h);
	struct seen agent = see(process(h, "pid")), rank = see(process(h, "rank"));
	assert_true(agent.pid > 0 && rank.pid > 0);
	assert_int_equal(count_live(f, true), 0);
	assert_true(count_live(f, false) >= kind->things);
	assert_int_equal(elsewhere(reap, f), 0);
	assert_int_equal(count_left(f->label), 0);
	assert_gone(agent);
	assert_gone(rank);
}

static void agents_killed_before_down(void **state)
{
	struct fixture *f = *state;
	up(f);
	for (size_t k = 0; k < 3; k++) {
		autojson json_t *h = hello(f, k, DEADLINE);
		assert_non_null(h);
		pid_t agent = process(h, "pid"), rank = process(h, "rank");
		assert_true(agent > 0 && rank > 0);
		kill(rank, SIGKILL);
		kill(agent, SIGKILL);
	}
	down(f);
	assert_int_equal(count_left(f->label), 0);
}

static void two_runs_do_not_meet(void **state)
{
	struct fixture *f = *state;
	autofree char *label = mem_printf("%s-other", f->label);
	struct cluster other = f->c;
	other.label = label;
	struct fixture g = {.dir = f->dir, .label = label};
	up(f);
	assert_int_equal(row->up(&other, NULL), 0);
	autojson json_t *seen = json_object();
	for (size_t k = 0; k < 3; k++) {
		autojson json_t *mine = hello(f, k, DEADLINE);
		autojson json_t *theirs = hello(&g, k, DEADLINE);
		assert_non_null(mine);
		assert_non_null(theirs);
		json_object_set_new(seen, json_string_value(json_object_get(mine, "address")), json_true());
		json_object_set_new(seen, json_string_value(json_object_get(theirs, "address")), json_true());
	}
	assert_int_equal(json_object_size(seen), kind->addresses);
	down(f);
	assert_int_equal(count_left(f->label), 0);
	assert_true(count_left(label) >= kind->things);
	assert_int_equal(row->down(&other, NULL), 0);
	assert_int_equal(count_left(label), 0);
}

static bool can_limit(void)
{
	autojson json_t *plan = make_plan(1, 0.5, 64 << 20);
	struct error err = {0};
	if (!(kind->groups ? executor_find("local", &err) : row)->check(plan, &err))
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
	if (!can_limit())
		skip();
	use_plan(f, make_plan(2, 0.5, 64 << 20));
	up(f);
	struct seen ranks[2];
	for (size_t k = 0; k < 2; k++) {
		autojson json_t *h = hello(f, k, DEADLINE);
		assert_non_null(h);
		ranks[k] = see(process(h, "rank"));
		assert_true(ranks[k].pid > 0);
		assert_int_equal(memory_limit(ranks[k].pid), 64 << 20);
		autofree char *path = mem_printf("/proc/%d/cgroup", (int)ranks[k].pid);
		autofree char *text = fs_read(path, 65536, NULL, NULL);
		autofree char *group = mem_printf("/node-%zu", k);
		assert_true(!kind->groups || (strstr(text, f->label) && strstr(text, group)));
		kill(process(h, "pid"), SIGKILL);
	}
	down(f);
	assert_int_equal(count_left(f->label), 0);
	for (size_t k = 0; k < 2; k++)
		assert_gone(ranks[k]);
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
	if (!can_limit())
		skip();
	wish(f, "runs", "head -c 200000000 /dev/zero | tail >/dev/null; echo $? >new; mv new status; sleep 1000");
	use_plan(f, make_plan(1, 0, 64 << 20));
	up(f);
	autojson json_t *h = hello(f, 0, DEADLINE);
	assert_non_null(h);
	autofree char *status = status_of_rank(f, DEADLINE);
	assert_non_null(status);
	assert_string_equal(status, "137\n");
	assert_true(process(h, "pid") > 0); // the agent is outside of the limit, or was not what used it up
	if (kind->groups)
		assert_int_equal(cgroup_oom_kills(json_string_value(json_object_get(h, "cgroups"))), 1);
}

static void too_much_cpu_is_not_had(void **state)
{
	struct fixture *f = *state;
	if (!can_limit())
		skip();
	wish(f, "runs", "while :; do :; done");
	use_plan(f, make_plan(1, 0.1, 0));
	up(f);
	autojson json_t *h = hello(f, 0, DEADLINE);
	assert_non_null(h);
	autofree char *path = mem_printf("/proc/%d/stat", (int)process(h, "rank"));
	double begin = clock_mono();
	while (clock_mono() < begin + 1)
		poll(NULL, 0, 50);
	autofree char *text = fs_read(path, 4096, NULL, NULL);
	unsigned long user = 0, sys = 0;
	assert_int_equal(
		sscanf(strrchr(text, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys), 2);
	double used = (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
	assert_true(used < 0.35); // one second at 0.1, and some slack
}

static void limits_of_a_killed_controller_go(void **state)
{
	struct fixture *f = *state;
	if (!can_limit())
		skip();
	use_plan(f, make_plan(2, 0.5, 0));
	assert_int_equal(elsewhere(just_up, f), 0);
	json_decref(hello(f, 1, DEADLINE));
	fs_remove(f->nodes, NULL); // even without the run's directory
	assert_true(count_live(f, false) > 0);
	assert_int_equal(elsewhere(reap, f), 0);
	assert_int_equal(count_left(f->label), 0);
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
		assert_non_null(find_kind(executors[i]->traits->name));
		assert_true(executors[i]->check && executors[i]->up && executors[i]->down && executors[i]->left);
	}
	assert_null(executor_find("locl", &err));
	assert_non_null(strstr(err.text, "did you mean 'local'"));
}

#define each(function)                                                                                                 \
	{                                                                                                              \
		.name = #function, .test_func = function, .setup_func = set_up, .teardown_func = tear_down             \
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
