#include "run/clusters.h"

#include "base/clock.h"
#include "base/did_you_mean.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/plan.h"
#include "wire/event.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MOST = 40, PLAN_MAX = 64 << 20 };
static const double silence_max = 60; // a living controller touches its control.json more often than that

// --- where they are -----------------------------------------------------------

char *clusters_base(struct error *err)
{
	const char *chosen = getenv("MUSTER_CLUSTERS"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	if (chosen && *chosen)
		return fs_absolute(chosen, err);
	if (state && *state == '/')
		return mem_printf("%s/muster/clusters", state);
	if (home && *home == '/')
		return mem_printf("%s/.local/state/muster/clusters", home);
	error_set(err, ERROR_USAGE,
		"no directory for persistent clusters: HOME is not set; set it, or set MUSTER_CLUSTERS to a "
		"directory");
	return NULL;
}

bool clusters_is_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t len = strlen(name);
	return len && len <= NAME_MOST && name[strspn(name, allowed)] == '\0' && *name != '-' && name[len - 1] != '-';
}

// Somebody else's directory is no place for keys.
static int check_base(const char *base, struct error *err)
{
	struct stat st;
	if (fs_mkdirs(base, 0700, err) < 0)
		return -1;
	if (stat(base, &st) < 0)
		return error_errno(err, "cannot examine '%s'", base);
	if (st.st_uid != geteuid())
		return error_set(err, ERROR_SYSTEM, "'%s' belongs to user %u, expected %u", base, (unsigned)st.st_uid,
			(unsigned)geteuid());
	if (st.st_mode & 077 && chmod(base, 0700) < 0)
		return error_errno(err, "cannot restrict access to '%s'", base);
	return 0;
}

struct run *clusters_create(const char *name, const char *text, size_t len, const json_t *plan, struct error *err)
{
	autofree char *base = clusters_base(err);
	if (!base || check_base(base, err) < 0)
		return NULL;
	autofree char *dir = fs_join(base, name);
	if (mkdir(dir, 0700) < 0) {
		if (errno == EEXIST)
			error_set(err, ERROR_USAGE,
				"cluster '%s' already exists; `muster ls` shows it, `muster down %s` removes it", name,
				name);
		else
			error_errno(err, "cannot make '%s'", dir);
		return NULL;
	}
	struct run *run = run_create(dir, name, text, len, plan, err);
	if (!run)
		fs_remove(dir, NULL);
	return run;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

json_t *clusters_names(void)
{
	autofree char *base = clusters_base(NULL);
	json_t *names = json_array();
	DIR *d = base ? opendir(base) : NULL;
	char **list = NULL;
	size_t count = 0;
	for (struct dirent *e; d && (e = readdir(d));) {
		if (!clusters_is_name(e->d_name))
			continue;
		list = mem_resize(list, (count + 1) * sizeof *list);
		list[count++] = mem_strdup(e->d_name);
	}
	if (d)
		closedir(d);
	if (count)
		qsort(list, count, sizeof *list, compare);
	for (size_t i = 0; i < count; i++) {
		json_array_append_new(names, json_string(list[i]));
		free(list[i]);
	}
	free(list);
	return names;
}

static struct run *unknown(const char *name, struct error *err)
{
	autojson json_t *names = clusters_names();
	autostr struct str list = {0};
	autofree const char **known = mem_alloc((json_array_size(names) + 1) * sizeof *known);
	size_t i;
	json_t *other;
	json_array_foreach (names, i, other) {
		known[i] = json_string_value(other);
		str_printf(&list, "%s%s", list.len ? ", " : "", known[i]);
	}
	autofree char *hint = did_you_mean_text(" (", did_you_mean(name, known), ")");
	if (list.len)
		error_set(err, ERROR_USAGE, "there is no cluster '%s', expected one of %s%s", name, list.text, hint);
	else
		error_set(
			err, ERROR_USAGE, "there is no cluster '%s', and no other; `muster up FILE` starts one", name);
	return NULL;
}

// The directory of a name, owned by the caller; a text that is no name has none.
static char *directory_of(const char *name, struct error *err)
{
	autofree char *base = clusters_base(err);
	return base ? fs_join(base, clusters_is_name(name) ? name : "-") : NULL;
}

bool clusters_exist(const char *name)
{
	autofree char *dir = directory_of(name, NULL);
	return dir && fs_exists(dir);
}

struct run *clusters_open(const char *name, struct error *err)
{
	autofree char *dir = directory_of(name, err);
	if (!dir)
		return NULL;
	struct run *run = fs_exists(dir) ? run_open(dir, NULL, NULL) : NULL;
	return run ? run : unknown(name, err);
}

int clusters_remove(const char *name, struct error *err)
{
	autofree char *base = clusters_base(err);
	if (!base)
		return -1;
	autofree char *dir = fs_join(base, name);
	return fs_remove(dir, err);
}

bool clusters_has_label(const char *label, char **name)
{
	autofree char *base = clusters_base(NULL);
	autojson json_t *names = clusters_names();
	size_t i;
	json_t *item;
	json_array_foreach (names, i, item) {
		autofree char *dir = mem_printf("%s/%s/%s", base, json_string_value(item), label);
		if (!fs_exists(dir))
			continue;
		if (name)
			*name = mem_strdup(json_string_value(item));
		return true;
	}
	return false;
}

json_t *clusters_plan(const struct run *run, struct error *err)
{
	autofree char *path = run_path(run, "plan.json");
	autofree char *text = fs_read(path, PLAN_MAX, NULL, err);
	json_t *plan = text ? json_loads(text, 0, NULL) : NULL;
	if (text && !plan)
		error_set(err, ERROR_SYSTEM, "'%s' is not a plan", path);
	return plan;
}

// --- what they are --------------------------------------------------------------

// Reads the events one after the other.
struct reading {
	json_t *nodes, *jobs;
	const char *state;
	double started;
};

static json_t *node_of(struct reading *r, const json_t *event)
{
	return json_array_get(r->nodes, (size_t)json_whole(event, "node"));
}

static void set(json_t *object, const char *key, const char *text)
{
	if (object)
		json_object_set_new(object, key, json_string(text));
}

static void resize(struct reading *r, size_t nodes)
{
	while (json_array_size(r->nodes) > nodes)
		json_array_remove(r->nodes, json_array_size(r->nodes) - 1);
	for (size_t i = json_array_size(r->nodes); i < nodes; i++)
		json_array_append_new(r->nodes,
			mem_json("{s:i, s:n, s:n, s:s}", "node", (int)i, "name", "address", "state", "missing"));
}

static void on_state(struct reading *r, const json_t *event)
{
	if (json_is(event, "to", "ready"))
		r->state = "up";
	else if (json_is(event, "to", "stopping"))
		r->state = "going down";
}

static void on_job(struct reading *r, const json_t *event)
{
	if (json_is(event, "edge", "begin")) {
		json_array_append_new(r->jobs,
			mem_json("{s:O, s:O, s:O, s:O, s:n, s:n}", "run", json_object_get(event, "run"), "run_dir",
				json_object_get(event, "run_dir"), "nodes", json_object_get(event, "nodes"), "begin",
				json_object_get(event, "ts"), "end", "outcome"));
		return;
	}
	size_t i;
	json_t *job;
	json_array_foreach (r->jobs, i, job)
		if (json_text(event, "run") && json_is(job, "run", json_text(event, "run")))
			json_object_set(job, "end", json_object_get(event, "ts"));
}

static void on_hello(struct reading *r, const json_t *event)
{
	json_t *node = node_of(r, event);
	set(node, "state", "up");
	for (size_t i = 0; node && i < 2; i++) {
		const char *key = i ? "address" : "name";
		json_object_set(node, key, json_object_get(event, key));
	}
}

static int on_event(json_t *event, void *data)
{
	struct reading *r = data;
	if (event_is(event, "run")) {
		r->started = json_number(event, "ts");
		resize(r, (size_t)json_number(event, "nodes"));
	} else if (event_is(event, "resize") && json_whole(event, "nodes") > 0)
		resize(r, (size_t)json_whole(event, "nodes"));
	else if (event_is(event, "state"))
		on_state(r, event);
	else if (event_is(event, "hello"))
		on_hello(r, event);
	else if (event_is(event, "back"))
		set(node_of(r, event), "state", "up");
	else if (event_is(event, "lost"))
		set(node_of(r, event), "state", "lost");
	else if (event_is(event, "warn") && json_has(event, "node"))
		set(node_of(r, event), "state", "away");
	else if (event_is(event, "job"))
		on_job(r, event);
	else if (event_is(event, "resume")) {
		size_t i;
		json_t *node;
		json_array_foreach (r->nodes, i, node)
			if (json_is(node, "state", "up"))
				set(node, "state", "away");
	}
	return 0;
}

static int on_end(json_t *event, void *data)
{
	if (event_is(event, "end"))
		json_object_set(data, "outcome", json_object_get(event, "outcome"));
	return 0;
}

// How the jobs ended is in their own records, when these are still there.
static void add_outcomes(json_t *jobs)
{
	size_t i;
	json_t *job;
	json_array_foreach (jobs, i, job) {
		const char *dir = json_text(job, "run_dir");
		struct run *run = dir ? run_open(dir, dir, NULL) : NULL;
		uint64_t offset = 0;
		if (run)
			run_read(run, false, &offset, on_end, job, NULL);
		if (run && json_has(job, "end") && !json_has(job, "outcome") && !run_alive(run, NULL))
			set(job, "outcome", "lost");
		run_free(run);
	}
}

// When the controller was last there.
static double last_sign(const struct run *run)
{
	struct stat st;
	autofree char *path = run_path(run, "control.json");
	return stat(path, &st) == 0 ? (double)st.st_mtim.tv_sec : 0;
}

static double until(const struct run *run)
{
	autojson json_t *plan = clusters_plan(run, NULL);
	return last_sign(run) + plan_lease(plan);
}

bool clusters_is_over(const struct run *run)
{
	return !run_alive(run, NULL) && clock_wall() > until(run) + silence_max;
}

json_t *clusters_status(const char *name, const struct run *run, struct error *err)
{
	struct reading r = {.nodes = json_array(), .jobs = json_array(), .state = "starting"};
	autojson json_t *nodes = r.nodes, *jobs = r.jobs, *plan = clusters_plan(run, err);
	uint64_t offset = 0;
	if (!plan || run_read(run, false, &offset, on_event, &r, err) < 0)
		return NULL;
	bool alive = run_alive(run, NULL);
	size_t i;
	json_t *node;
	json_array_foreach (nodes, i, node) {
		json_t *host = i < plan_nodes(plan) ? plan_host_json(plan, i) : NULL;
		if (host)
			json_object_set(node, "host", host);
		if (!alive && !json_is(node, "state", "lost"))
			set(node, "state", "unknown");
	}
	add_outcomes(jobs);
	return mem_json("{s:s, s:s, s:s, s:s, s:f, s:o, s:o, s:O, s:O}", "name", name, "id", run->id, "executor",
		plan_executor(plan), "state", alive ? r.state : "gone", "started", r.started, "until",
		alive ? json_null() : json_real(until(run)), "lease", mem_number(plan_lease(plan)), "nodes", nodes,
		"jobs", jobs);
}

json_t *clusters_find_status(const char *name, struct error *err)
{
	struct run *run = clusters_open(name, err);
	json_t *status = run ? clusters_status(name, run, err) : NULL;
	run_free(run);
	return status;
}
