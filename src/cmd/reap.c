#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "exec/executor.h"
#include "report/report.h"
#include "run/clusters.h"
#include "run/run.h"
#include "wire/event.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAIL = 65536 };               // bytes of the event log in which the end event is, when there is one
enum { YOUNG = 10 };                 // seconds a run may be without a controller before it counts as lost
static const double patience = 10.0; // seconds for a killed controller to be gone

static const struct options_usage usage = {
	.arguments = "[RUN]...",
	.most = OPTIONS_ANY,
	.about = "Removes what runs without a controller have left behind: processes, control groups, directories, "
		 "containers, Jobs and pods; and closes their records with the outcome 'lost'. Without RUN: for all "
		 "runs.\n\n"
		 "A persistent cluster whose controller is gone (`muster up NAME` brings it back) is left alone until "
		 "the lease of its nodes expires, unless --clusters is given or its id is RUN.\n\n"
		 "Exit status: 0 nothing is left, 3 something could not be removed.",
};

struct reap {
	const char *runs;
	bool dry, force, json, clusters;
	bool named;    // the user has named the runs
	json_t *gone;  // what was removed (or would be): [{"run", "what", "id"}]
	json_t *stays; // what was not, with "why"
};

// --- what is there ----------------------------------------------------------

// What all executors find of a run (NULL: of any).
static json_t *find_left(const char *label, struct error *err)
{
	json_t *found = json_array();
	struct cluster c = {.label = label};
	for (size_t i = 0; executors[i]; i++)
		if (executors[i]->left(&c, found, err)) {
			json_decref(found);
			return NULL;
		}
	return found;
}

static int is_end(json_t *event, void *data)
{
	*(bool *)data = event_is(event, "end");
	return 0;
}

static bool has_ended(const struct run *run)
{
	autofree char *path = run_path(run, "events.jsonl");
	struct stat st;
	if (stat(path, &st))
		return true;
	uint64_t offset = st.st_size > TAIL ? (uint64_t)st.st_size - TAIL : 0;
	bool ended = false;
	return run_read(run, false, &offset, is_end, &ended, NULL) < 0 || ended;
}

// A run that was created a moment ago may not have a control.json yet.
static bool is_young(const struct run *run)
{
	autofree char *path = run_path(run, "events.jsonl");
	struct stat st;
	return !stat(path, &st) && clock_wall() - (double)st.st_mtim.tv_sec < YOUNG;
}

static bool is_lost(const struct run *run)
{
	json_t *control = NULL;
	bool lives = run_alive(run, &control);
	bool unknown = !control;
	json_decref(control);
	return !lives && !has_ended(run) && !(unknown && is_young(run));
}

// Is that a persistent cluster that can still be brought back? One of another MUSTER_CLUSTERS is known by its identity.
static bool is_spared(const struct reap *r, const char *label, const char *run_dir)
{
	autofree char *identity = fs_join(run_dir, "identity.json");
	autofree char *name = NULL;
	bool ours = clusters_has_label(label, &name);
	if (r->clusters || (!ours && (!*run_dir || !fs_exists(identity))))
		return false;
	struct run *run = ours ? clusters_open(name, NULL) : run_open(run_dir, run_dir, NULL);
	bool over = run && clusters_is_over(run);
	run_free(run);
	return !over;
}

// The run of this label: below the runs directory, or where its nodes' directory says it is. NULL when there is none.
static struct run *find_run(const struct reap *r, const char *label, const json_t *found)
{
	autofree char *path = fs_join(r->runs, label), *cluster = NULL;
	if (clusters_has_label(label, &cluster))
		return clusters_open(cluster, NULL);
	struct run *run = fs_exists(path) ? run_open(r->runs, label, NULL) : NULL;
	size_t i;
	json_t *item;
	json_array_foreach (found, i, item)
		if (!run && *json_text_or(item, "run_dir", ""))
			run = run_open(r->runs, json_text_or(item, "run_dir", ""), NULL);
	if (run && strcmp(run->id, label) == 0)
		return run;
	run_free(run);
	return NULL;
}

// --- removing ---------------------------------------------------------------

static void note(json_t *list, const char *run, const char *what, const char *id, const char *why)
{
	json_array_append_new(list, mem_json("{s:s, s:s, s:s, s:s*}", "run", run, "what", what, "id", id, "why", why));
}

// Ends a controller given as {"pid", "started"}.
static int kill_controller(const json_t *controller, struct error *err)
{
	pid_t pid = (pid_t)json_integer_value(json_object_get(controller, "pid"));
	unsigned long long started = (unsigned long long)json_integer_value(json_object_get(controller, "started"));
	if (!proc_alive(pid, started))
		return 0;
	if (kill(pid, SIGKILL))
		return error_errno(err, "cannot kill the controller, process %d", (int)pid);
	for (double end = clock_mono() + patience; proc_alive(pid, started); poll(NULL, 0, 5))
		if (clock_mono() > end)
			return error_set(err, ERROR_SYSTEM, "the controller, process %d, cannot be killed", (int)pid);
	return 0;
}

// Is the controller of this run alive, as the run or an executor knows it? *controller is {"pid", "started"}, owned by
// the caller. Who knows that it is dead is believed before who sees what another machine may still want, which this one
// may be to itself.
static bool is_live(const struct run *run, const json_t *found, json_t **controller)
{
	*controller = NULL;
	if (run && run_alive(run, controller))
		return true;
	json_decref(*controller);
	*controller = NULL;
	size_t i;
	json_t *item;
	json_array_foreach (found, i, item)
		if (!json_is_true(json_object_get(item, "live")) && json_object_get(item, "controller"))
			return false;
	json_array_foreach (found, i, item)
		if (json_is_true(json_object_get(item, "live"))) {
			*controller = json_incref(json_object_get(item, "controller"));
			return true;
		}
	return false;
}

static int on_first(json_t *event, void *data)
{
	*(double *)data = json_number_value(json_object_get(event, "ts"));
	return 1;
}

static int on_any(json_t *event, void *data)
{
	*(double *)data = fmax(*(double *)data, json_number_value(json_object_get(event, "ts")));
	return 0;
}

// How long the run went on, as far as its record says.
static double seconds_of(const struct run *run)
{
	double first = 0, last = 0;
	uint64_t offset = 0;
	run_read(run, false, &offset, on_first, &first, NULL);
	for (int metrics = 0; metrics < 2; metrics++) { // ranks that work long make no events
		autofree char *path = run_path(run, metrics ? "metrics.jsonl" : "events.jsonl");
		struct stat st;
		offset = !stat(path, &st) && st.st_size > TAIL ? (uint64_t)st.st_size - TAIL : 0;
		run_read(run, metrics, &offset, on_any, &last, NULL);
	}
	return last > first ? last - first : 0;
}

// Appends what the controller could not: the receipt and the end.
static int close_record(struct run *run, const json_t *left, double seconds, struct error *err)
{
	autoclose int lock = open(run->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX))
		return error_errno(err, "cannot lock '%s'", run->dir);
	if (has_ended(run)) // another reaper was faster
		return 0;
	double took = seconds_of(run);
	autojson json_t *receipt = event_make("receipt", "s:O, s:f", "left", left, "seconds", seconds);
	autojson json_t *end = event_make("end", "s:s, s:s, s:i, s:f", "outcome", "lost", "why",
		"the controller was gone before the run had ended", "exit", ERROR_SYSTEM, "seconds", took);
	if (run_event(run, receipt, err) || run_event(run, end, err))
		return -1;
	autofree char *control = run_path(run, "control.json");
	if (unlink(control) && fs_exists(control))
		return error_errno(err, "cannot remove '%s'", control);
	return report_write(run, err);
}

static bool holds(const json_t *items, const json_t *wanted)
{
	size_t i;
	json_t *item;
	json_array_foreach (items, i, item)
		if (strcmp(json_text_or(item, "what", ""), json_text_or(wanted, "what", "")) == 0 &&
			strcmp(json_text_or(item, "id", ""), json_text_or(wanted, "id", "")) == 0)
			return true;
	return false;
}

// Calls down of every executor, whether it found something or not; what was found and is not found any more is gone.
// Returns what is left, NULL and err when that cannot be known.
static json_t *remove_left(struct reap *r, const char *label, const json_t *found, struct error *err)
{
	struct cluster c = {.label = label, .force = r->force, .give_up = r->force && r->named};
	struct error why = {0};
	for (size_t i = 0; executors[i]; i++)
		executors[i]->down(&c, &why);
	json_t *left = find_left(label, err);
	size_t i;
	json_t *item;
	json_array_foreach (found, i, item)
		if (left && !holds(left, item))
			note(r->gone, label, json_text_or(item, "what", ""), json_text_or(item, "id", ""), NULL);
	json_array_foreach (left, i, item)
		note(r->stays, label, json_text_or(item, "what", ""), json_text_or(item, "id", ""),
			*why.text ? why.text : "still found");
	return left;
}

static void list_found(struct reap *r, const char *label, const json_t *found, const struct run *run)
{
	size_t i;
	json_t *item;
	json_array_foreach (found, i, item)
		note(r->gone, label, json_text_or(item, "what", ""), json_text_or(item, "id", ""), NULL);
	if (run && !has_ended(run))
		note(r->gone, label, clusters_has_label(label, NULL) ? "cluster" : "record", run->dir, NULL);
}

static int reap_found(struct reap *r, const char *label, const json_t *found, struct run *run, struct error *err)
{
	double begin = clock_mono();
	autojson json_t *left = remove_left(r, label, found, err);
	if (!left)
		return -1;
	autofree char *cluster = NULL;
	if (clusters_has_label(label, &cluster)) {
		if (json_array_size(left) == 0 && clusters_remove(cluster, err) == 0)
			note(r->gone, label, "cluster", cluster, NULL);
		return 0;
	}
	if (!run || has_ended(run))
		return 0;
	struct error why;
	if (close_record(run, left, clock_mono() - begin, &why))
		note(r->stays, label, "record", run->dir, why.text);
	else
		note(r->gone, label, "record", run->dir, NULL);
	return 0;
}

// One run; named: the user gave it, so that it lives is an error and not a reason to leave it out.
static int reap_run(struct reap *r, const char *label, bool named, struct error *err)
{
	autojson json_t *found = find_left(label, err);
	if (!found)
		return -1;
	struct run *run = find_run(r, label, found);
	autojson json_t *controller = NULL;
	bool live = is_live(run, found, &controller);
	int rc = 0;
	if (named && live && !r->force)
		rc = error_set(err, ERROR_USAGE,
			"run '%s' is in progress (controller: process %d): `muster cancel` ends it, --force kills it",
			label, (int)json_integer_value(json_object_get(controller, "pid")));
	else if (live && !named)
		rc = 0;
	else if (r->dry)
		list_found(r, label, found, run);
	else if (live && kill_controller(controller, err))
		rc = -1;
	else
		rc = reap_found(r, label, found, run, err);
	run_free(run);
	return rc;
}

// --- which runs -------------------------------------------------------------

// The label that the user means by a run's id, the beginning of one, or its directory; a label that only an executor
// knows will do too.
static char *label_of(const struct reap *r, const char *name, struct error *err)
{
	struct run *run = run_open(r->runs, name, err);
	if (run) {
		char *label = mem_strdup(run->id);
		run_free(run);
		return label;
	}
	autojson json_t *found = find_left(name, NULL);
	return json_array_size(found) || clusters_has_label(name, NULL) ? mem_strdup(name) : NULL;
}

// Labels as the keys of an object: everything that dead runs left, and every lost run.
static json_t *all_labels(const struct reap *r, struct error *err)
{
	autojson json_t *found = find_left(NULL, err);
	if (!found)
		return NULL;
	json_t *labels = json_object();
	size_t i;
	json_t *item;
	json_array_foreach (found, i, item)
		if (!json_is_true(json_object_get(item, "live")) &&
			!is_spared(r, json_text_or(item, "run", ""), json_text_or(item, "run_dir", "")))
			json_object_set_new(labels, json_text_or(item, "run", ""), json_true());
	autojson json_t *clusters = clusters_names();
	json_array_foreach (clusters, i, item) {
		struct run *run = clusters_open(json_string_value(item), NULL);
		if (run && !run_alive(run, NULL) && !is_spared(r, run->id, run->dir))
			json_object_set_new(labels, run->id, json_true());
		run_free(run);
	}
	autojson json_t *ids = run_list(r->runs);
	json_array_foreach (ids, i, item) {
		struct run *run = run_open(r->runs, json_string_value(item), NULL);
		if (run && is_lost(run))
			json_object_set_new(labels, run->id, json_true());
		run_free(run);
	}
	return labels;
}

static int reap_all(struct reap *r, struct error *err)
{
	autojson json_t *labels = all_labels(r, err);
	if (!labels)
		return -1;
	const char *label;
	json_t *value;
	int rc = 0;
	json_object_foreach (labels, label, value)
		rc |= reap_run(r, label, false, rc ? NULL : err);
	return rc;
}

static int reap_named(struct reap *r, int count, char **names, struct error *err)
{
	r->named = true;
	for (int i = 0; i < count; i++) {
		autofree char *label = label_of(r, names[i], err);
		if (!label || reap_run(r, label, true, err))
			return -1;
	}
	return 0;
}

// --- telling ----------------------------------------------------------------

static void print_things(const struct reap *r)
{
	size_t i;
	json_t *item;
	json_array_foreach (r->gone, i, item) {
		bool record = strcmp(json_text_or(item, "what", ""), "record") == 0;
		const char *verb = r->dry ? (record ? "would close" : "would remove") : record ? "closed" : "removed";
		printf("%s: %s %s %s\n", json_text_or(item, "run", ""), verb, json_text_or(item, "what", ""),
			json_text_or(item, "id", ""));
	}
	json_array_foreach (r->stays, i, item)
		printf("%s: %s %s stays: %s\n", json_text_or(item, "run", ""), json_text_or(item, "what", ""),
			json_text_or(item, "id", ""), json_text_or(item, "why", ""));
	if (!json_array_size(r->gone) && !json_array_size(r->stays))
		puts("nothing left");
}

static void print_json(const struct reap *r)
{
	autojson json_t *all = mem_json("{s:O, s:O}", r->dry ? "found" : "removed", r->gone, "left", r->stays);
	autofree char *text = json_dumps(all, JSON_COMPACT);
	puts(text);
}

int cmd_reap(int argc, char **argv, struct error *err)
{
	struct reap r = {0};
	const struct option_row rows[] = {
		{"dry-run", 'n', NULL, "print what would be removed, and remove nothing", &r.dry},
		{"force", 0, NULL,
			"also runs in progress that are named as RUN: kill their controllers first; and "
			"removes pods that do not end",
			&r.force},
		{"clusters", 0, NULL, "also clusters without a controller whose lease has not expired", &r.clusters},
		{"json", 0, NULL, "print JSON", &r.json},
		OPTIONS_RUNS(&r.runs),
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	r.gone = json_array();
	r.stays = json_array();
	int rc = first < argc ? reap_named(&r, argc - first, argv + first, err) : reap_all(&r, err);
	if (r.json)
		print_json(&r);
	else if (!rc || json_array_size(r.gone) || json_array_size(r.stays))
		print_things(&r);
	if (!rc)
		rc = json_array_size(r.stays) ? ERROR_SYSTEM : 0;
	json_decref(r.gone);
	json_decref(r.stays);
	return rc;
}
