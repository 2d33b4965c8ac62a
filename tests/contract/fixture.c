#include "fixture.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

#include <ctype.h>
#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

// --- kinds ------------------------------------------------------------------

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

static const struct fixture_kind kinds[] = {
	// agents, their ranks, a directory
	{.name = "local", .things = 7, .addresses = 6, .many = 2000, .claims = true, .groups = true},
	// a host has one address
	{.name = "ssh", .things = 7, .addresses = 3, .many = 2, .groups = true, .dress = dress_in_hosts},
	// containers, a network
	{.name = "docker", .things = 4, .addresses = 6, .many = 2, .dress = dress_in_containers},
	// pods, a Job, an intent
	{.name = "kubernetes", .things = 5, .addresses = 6, .many = 2, .dress = dress_in_pods},
};

const struct fixture_kind *fixture_find_kind(const char *name)
{
	for (size_t i = 0; i < countof(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

// --- the run ----------------------------------------------------------------

static json_t *make_plan(const struct fixture *f, size_t nodes, double cpus, long long memory)
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
		f->row->traits->name, "nodes", list, "lease", 30, "heartbeat", 5);
	if (f->kind->dress)
		f->kind->dress(plan);
	return plan;
}

char *fixture_token(size_t node)
{
	return mem_printf("%064zx", node);
}

static char *token(const struct cluster *c, size_t node)
{
	struct fixture *f = c->token_data;
	if (f->stop == FIXTURE_KILL && node == f->stop_at)
		raise(SIGKILL);
	if (f->stop == FIXTURE_CANCEL && node == f->stop_at)
		f->cancelled = true;
	return fixture_token(node);
}

int fixture_set_up(void **state)
{
	static int serial;
	const struct executor *row = *state;
	const struct fixture_kind *kind = fixture_find_kind(row->traits->name);
	if (!kind)
		fail_msg("no row of kinds[] is for the executor '%s'", row->traits->name);
	const char *base = getenv("CONTRACT_DIR");
	autofree char *template = mem_printf("%s/contract.XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(template) || chmod(template, 0755))
		return -1;
	struct fixture *f = mem_alloc(sizeof *f);
	f->row = row;
	f->kind = kind;
	f->dir = mem_strdup(template);
	f->url = mem_strdup("wss://127.0.0.1:9"); // nobody is there, nobody dials it
	setenv("STANDIN_DIR", f->dir, 1);
	f->nodes = fs_join(f->dir, "nodes");
	f->label = mem_printf("contract-%d-%d", (int)getpid(), serial++);
	setenv("MUSTER_NODES_DIR", f->nodes, 1);
	setenv("MUSTER_AGENT", STANDIN, 1);
	f->c = (struct cluster){.label = f->label,
		.plan = make_plan(f, 3, 0, 0),
		.run_dir = f->dir,
		.url = f->url,
		.fingerprint = "00",
		.token = token,
		.token_data = f,
		.cancelled = &f->cancelled};
	*state = f;
	return 0;
}

int fixture_tear_down(void **state)
{
	struct fixture *f = *state;
	int rc = f->row->down(&f->c, NULL);
	rc |= fs_remove(f->dir, NULL);
	json_decref((json_t *)f->c.plan);
	free(f->dir);
	free(f->url);
	free(f->nodes);
	free(f->label);
	free(f);
	return rc;
}

void fixture_use_plan(struct fixture *f, size_t nodes, double cpus, long long memory)
{
	json_decref((json_t *)f->c.plan);
	f->c.plan = make_plan(f, nodes, cpus, memory);
}

void fixture_wish(const struct fixture *f, const char *name, const char *text)
{
	autofree char *path = fs_join(f->dir, name);
	if (text)
		assert_int_equal(fs_write(path, text, strlen(text), 0600, NULL), 0);
	else
		unlink(path);
}

// --- what the stand-ins say -------------------------------------------------

json_t *fixture_hello(const struct fixture *f, size_t k, double seconds)
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

const char *fixture_text(const json_t *hello, const char *name)
{
	return json_string_value(json_object_get(hello, name));
}

long fixture_number(const json_t *hello, const char *name)
{
	return (long)json_integer_value(json_object_get(hello, name));
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

struct fixture_process fixture_find_process(const json_t *hello, const char *name)
{
	pid_t found = 0;
	DIR *d = opendir("/proc");
	for (struct dirent *e; d && !found && (e = readdir(d));) {
		char space[64] = "";
		autofree char *proc = mem_printf("/proc/%s", e->d_name), *link = mem_printf("%s/ns/pid", proc);
		if (isdigit((unsigned char)*e->d_name) && readlink(link, space, sizeof space - 1) > 0 &&
			strcmp(space, fixture_text(hello, "space")) == 0 &&
			inner_pid(proc) == fixture_number(hello, name))
			found = atoi(e->d_name);
	}
	if (d)
		closedir(d);
	return (struct fixture_process){found, found ? proc_started(found) : 0};
}

bool fixture_is_alive(struct fixture_process process)
{
	return proc_alive(process.pid, process.started);
}

void fixture_assert_gone(struct fixture_process process)
{
	double end = clock_mono() + FIXTURE_DEADLINE;
	while (fixture_is_alive(process) && clock_mono() < end)
		poll(NULL, 0, 2);
	assert_false(fixture_is_alive(process));
}
