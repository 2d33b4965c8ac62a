#include "node/run_leftovers.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "node/mounts.h"
#include "node/node_dirs.h"
#include "node/run_cgroup.h"
#include "node/run_processes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static const double patience = 10.0; // seconds for what was killed to be gone
enum { UNBLOCKS = 8 };               // seconds for what waits for a server after that

// The agents a run's directory knows of: [{"pid", "started"}]. They carry the label too, but an agent may keep its
// environment to itself.
static json_t *agents_of(const char *dir, const json_t *record)
{
	json_t *agents = json_array();
	json_t *first = json_object_get(record, "agent");
	if (first)
		json_array_append(agents, first);
	autojson json_t *nodes = node_dirs_nodes(dir);
	size_t i;
	json_t *node;
	json_array_foreach (nodes, i, node) {
		autofree char *path = fs_join(json_string_value(node), "agent.json");
		autofree char *text = fs_read(path, 4096, NULL, NULL);
		json_t *process = text ? json_loads(text, 0, NULL) : NULL;
		if (process)
			json_array_append_new(agents, process);
	}
	return agents;
}

// All that is known of one run.
struct remains {
	char *label;
	char *word;     // MUSTER_RUN=LABEL
	json_t *dirs;   // its directories
	json_t *groups; // its control groups, existing or not
	json_t *agents;
	json_t *record; // run.json or NULL
	bool live;
};

static void forget(struct remains *r)
{
	free(r->label);
	free(r->word);
	json_decref(r->dirs);
	json_decref(r->groups);
	json_decref(r->agents);
	json_decref(r->record);
}

// Adds a run's control group at path when its name is of this run.
static void add_group(struct remains *r, const char *path)
{
	const char *slash = strrchr(path, '/');
	autofree char *label = NULL;
	pid_t pid;
	unsigned long long started;
	if (!slash || !run_cgroup_parse(slash + 1, &label, &pid, &started) || strcmp(label, r->label) != 0)
		return;
	json_add_once(r->groups, path);
	r->live = r->live || proc_alive(pid, started);
}

static void on_group(const char *path, const char *label, void *data)
{
	add_group(data, path);
}

// Those that a record of ours names.
static void add_groups(struct remains *r, const json_t *record)
{
	size_t i;
	json_t *group;
	json_array_foreach (json_object_get(record, "cgroups"), i, group)
		if (json_is_string(group))
			add_group(r, json_string_value(group));
}

static void add_dir(struct remains *r, const char *dir)
{
	json_t *record = node_dirs_record(dir);
	json_decref(r->record);
	r->record = record;
	autojson json_t *agents = agents_of(dir, record);
	json_array_extend(r->agents, agents);
	r->live = r->live || node_dirs_live(dir);
	add_groups(r, record);
	size_t i;
	json_t *agent;
	json_array_foreach (agents, i, agent)
		add_groups(r, agent);
}

static void look_for(struct remains *r, const char *label)
{
	*r = (struct remains){
		.label = mem_strdup(label),
		.word = mem_printf("MUSTER_RUN=%s", label),
		.dirs = node_dirs_find(label),
		.groups = json_array(),
		.agents = json_array(),
	};
	size_t i;
	json_t *dir;
	json_array_foreach (r->dirs, i, dir)
		add_dir(r, json_string_value(dir));
	run_cgroup_each(on_group, r);
}

static void on_label(const char *path, const char *label, void *data)
{
	json_add_once(data, label);
}

// The labels of all runs that left a directory or a control group, or only this one: an array.
static json_t *labels(const char *label)
{
	json_t *all = json_array();
	if (label) {
		json_add_once(all, label);
		return all;
	}
	autojson json_t *dirs = node_dirs_find(NULL);
	size_t i;
	json_t *dir;
	json_array_foreach (dirs, i, dir)
		json_add_once(all, strrchr(json_string_value(dir), '/') + 1);
	run_cgroup_each(on_label, all);
	return all;
}

// What its nodes have mounted first: a directory that holds a mount that cannot be undone stays.
static int remove_dir(const char *dir, bool keep, struct error *err)
{
	int rc = 0;
	autofree char *agent = node_dirs_agent();
	autojson json_t *nodes = node_dirs_nodes(dir);
	size_t i;
	json_t *node;
	json_array_foreach (nodes, i, node)
		rc |= mounts_clean(json_string_value(node), agent, rc ? NULL : err);
	return rc ? -1 : keep ? node_dirs_remove_but_kept(dir, err) : node_dirs_remove(dir, err);
}

static bool unblock(const struct remains *r)
{
	bool some = false;
	autofree char *agent = node_dirs_agent();
	size_t i, k;
	json_t *dir, *node;
	json_array_foreach (r->dirs, i, dir) {
		autojson json_t *nodes = node_dirs_nodes(json_string_value(dir));
		json_array_foreach (nodes, k, node)
			some |= mounts_unblock(json_string_value(node), agent);
	}
	return some;
}

// What waits for the server of a mount cannot be killed until its requests are given up, which may make it send others.
static int kill_all(const struct remains *r, struct error *err)
{
	int rc = run_processes_kill(r->word, r->agents, patience, err);
	for (int i = 0; rc && i < UNBLOCKS && unblock(r); i++)
		rc = run_processes_kill(r->word, r->agents, 1, err);
	return rc;
}

// Tries everything; err has the first failure.
static int remove_all(struct remains *r, bool keep, struct error *err)
{
	int rc = kill_all(r, err);
	size_t i;
	json_t *item;
	// An agent that ended by itself was not reaped, but may be the caller's child.
	json_array_foreach (r->agents, i, item)
		waitpid((pid_t)json_integer_value(json_object_get(item, "pid")), NULL, WNOHANG);
	json_array_foreach (r->groups, i, item)
		rc |= run_cgroup_remove(json_string_value(item), patience, rc ? NULL : err);
	json_array_foreach (r->dirs, i, item)
		rc |= remove_dir(json_string_value(item), keep, rc ? NULL : err);
	return rc ? -1 : 0;
}

static int remove_of(const char *label, bool keep, struct error *err)
{
	autojson json_t *all = labels(label);
	int rc = 0;
	size_t i;
	json_t *one;
	json_array_foreach (all, i, one) {
		struct remains r;
		look_for(&r, json_string_value(one));
		if (label || !r.live)
			rc |= remove_all(&r, keep, rc ? NULL : err);
		forget(&r);
	}
	return rc ? -1 : 0;
}

int run_leftovers_remove(const char *label, struct error *err)
{
	return remove_of(label, false, err);
}

int run_leftovers_remove_but_kept(const char *label, struct error *err)
{
	return remove_of(label, true, err);
}

static void list_one(const struct remains *r, json_t *found, const char *what, const char *id)
{
	autofree char *clean = str_utf8_clean(id, strlen(id));
	json_t *item = mem_json("{s:s, s:s, s:s, s:b}", "run", r->label, "what", what, "id", clean, "live", r->live);
	static const char *const known[] = {"run_dir", "controller"};
	for (size_t i = 0; i < countof(known); i++)
		json_object_set(item, known[i], json_object_get(r->record, known[i]));
	json_array_append_new(found, item);
}

static void list(const struct remains *r, json_t *found)
{
	autofree pid_t *pids = NULL;
	size_t count = run_processes_find(r->word, r->agents, &pids);
	for (size_t i = 0; i < count; i++) {
		autofree char *name = run_processes_name(pids[i]);
		autofree char *id = mem_printf("%d (%s)", (int)pids[i], name);
		list_one(r, found, "process", id);
	}
	size_t i;
	json_t *item;
	json_array_foreach (r->groups, i, item)
		if (fs_exists(json_string_value(item)))
			list_one(r, found, "cgroup", json_string_value(item));
	json_array_foreach (r->dirs, i, item)
		list_one(r, found, "directory", json_string_value(item));
}

void run_leftovers_list(const char *label, json_t *found)
{
	autojson json_t *all = labels(label);
	size_t i;
	json_t *one;
	json_array_foreach (all, i, one) {
		struct remains r;
		look_for(&r, json_string_value(one));
		list(&r, found);
		forget(&r);
	}
}
