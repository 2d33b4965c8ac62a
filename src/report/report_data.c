#include "report/report_data.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "job/plan.h"
#include "predict/iterations.h"
#include "report/metric_series.h"
#include "wire/event.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	LATEST_BYTES = 256 << 10,
	OUTPUTS_MAX = 10000,  // that are listed; a run may have millions, and all are counted
	SERIES_LEAST = 20000, // so many of a kind a run may have, and more by its nodes and ranks: every node or rank
	SERIES_EACH = 100,    // may send any names it likes
};

struct digest {
	json_t *tree;
	json_t *open; // phases that have begun and not ended: "NODE NAME" -> item of the list
	double started, last;
	size_t limit, nodes, ranks;
	size_t files, lost; // outputs
	double file_bytes;
	struct metric_series *measures;
	struct iterations *iterations;
};

// --- small helpers ----------------------------------------------------------

// Copies the members of that blank-separated list which are there.
static void copy(json_t *to, const json_t *from, const char *names)
{
	autofree char *list = mem_strdup(names);
	char *rest = list;
	for (char *name; (name = strsep(&rest, " "));) {
		json_t *value = json_object_get(from, name);
		if (value)
			json_object_set(to, name, value);
	}
}

static double since(const struct digest *d, const json_t *event)
{
	double t = json_number(event, "ts") - d->started;
	return isfinite(t) && fabs(t) < 1e10 ? floor(t * 1e6 + 0.5) / 1e6 : 0;
}

static json_t *list(const struct digest *d, const char *name)
{
	return json_object_get(d->tree, name);
}

static void add(const struct digest *d, const char *name, json_t *item)
{
	json_array_append_new(list(d, name), item);
}

// Appends {t, the members named} to the list.
static void note(struct digest *d, const char *name, const json_t *event, const char *members)
{
	json_t *item = mem_json("{s:f}", "t", since(d, event));
	copy(item, event, members);
	add(d, name, item);
}

static json_t *numbered(const struct digest *d, const char *array_name, const char *member, long k, size_t max)
{
	json_t *array = list(d, array_name);
	if (k < 0 || (max && (size_t)k >= max))
		return NULL;
	while (json_array_size(array) <= (size_t)k)
		json_array_append_new(
			array, mem_json("{s:i, s:s}", member, (int)json_array_size(array), "state", "waiting"));
	return json_array_get(array, (size_t)k);
}

static json_t *node_of(const struct digest *d, const json_t *event)
{
	return numbered(d, "nodes", "node", json_whole(event, "node"), d->nodes);
}

static json_t *rank_of(const struct digest *d, const json_t *event)
{
	return numbered(d, "ranks", "rank", json_whole(event, "rank"), d->ranks);
}

static void set(json_t *object, const char *name, json_t *value)
{
	json_object_set_new(object, name, value);
}

static void set_text(json_t *object, const char *name, const char *text)
{
	if (text)
		set(object, name, json_string(text));
}

// --- the plan ---------------------------------------------------------------

static void take_node(json_t *to, struct plan_node node)
{
	set_text(to, "name", node.name);
	set_text(to, "role", node.role);
	set(to, "index", json_integer((json_int_t)node.index));
	set(to, "cpus", plan_limit(node.cpus));
	set(to, "memory", plan_limit((double)node.memory));
}

static void take_rank(json_t *to, struct plan_rank rank)
{
	set(to, "node", json_integer((json_int_t)rank.node));
	set(to, "local", json_integer((json_int_t)rank.local));
	set_text(to, "role", rank.role);
	set(to, "index", json_integer((json_int_t)rank.index));
	set(to, "decides", json_boolean(rank.decides));
	if (rank.argv)
		json_object_set(to, "argv", (json_t *)rank.argv);
}

static void take_plan(struct digest *d, const struct run *run)
{
	autofree char *path = run_path(run, "plan.json");
	autofree char *content = fs_read(path, 256 << 20, NULL, NULL);
	autojson json_t *plan = content ? json_loads(content, 0, NULL) : NULL;
	set_text(d->tree, "name", plan_name(plan));
	set_text(d->tree, "executor", plan_executor(plan));
	set_text(d->tree, "launch", plan_launch(plan));
	if (plan)
		set(d->tree, "size", json_integer((json_int_t)plan_size(plan)));
	for (size_t k = 0; k < plan_nodes(plan) && k < JSON_NUMBERS; k++)
		take_node(numbered(d, "nodes", "node", (long)k, 0), plan_node(plan, k));
	for (size_t k = 0; k < plan_ranks(plan) && k < JSON_NUMBERS; k++)
		take_rank(numbered(d, "ranks", "rank", (long)k, 0), plan_rank(plan, k));
	d->nodes = json_array_size(list(d, "nodes"));
	d->ranks = json_array_size(list(d, "ranks"));
	// A thousand points a curve as long as there are few curves; the page must still open with ten thousand ranks.
	d->limit = d->ranks <= 16     ? 1000
		   : d->ranks <= 266  ? 16000 / d->ranks
		   : d->ranks <= 2000 ? 60
		   : d->ranks < 30000 ? 120000 / d->ranks
				      : 4;
}

// --- events -----------------------------------------------------------------

static void on_run(struct digest *d, const json_t *event)
{
	copy(d->tree, event, "id name executor size version");
	d->started = json_number(event, "ts");
	set(d->tree, "started", json_real(d->started));
}

static void on_state(struct digest *d, const json_t *event)
{
	const char *to = json_text(event, "to");
	if (to)
		set(d->tree, "state", json_string(to));
}

static void on_phase(struct digest *d, const json_t *event)
{
	const char *name = json_text(event, "name");
	double t = since(d, event);
	json_t *node = node_of(d, event);
	if (!name)
		return;
	autofree char *key = mem_printf("%ld %s", json_whole(event, "node"), name);
	if (!json_is(event, "edge", "end")) {
		json_t *phase = mem_json("{s:s, s:f, s:n, s:n}", "name", name, "begin", t, "end", "seconds");
		copy(phase, event, "node");
		json_object_set(d->open, key, phase);
		add(d, "phases", phase);
		set(node ? node : d->tree, "phase", json_string(name));
		return;
	}
	json_t *phase = json_object_get(d->open, key);
	double seconds = json_number(event, "seconds");
	if (!phase) {
		phase = mem_json("{s:s, s:f}", "name", name, "begin", t - seconds);
		copy(phase, event, "node");
		add(d, "phases", json_incref(phase));
		json_decref(phase);
	} else if (!json_is_number(json_object_get(event, "seconds"))) {
		seconds = t - json_number(phase, "begin");
	}
	set(phase, "end", json_real(t));
	set(phase, "seconds", json_real(seconds));
	json_object_del(d->open, key);
	if (node && strcmp(name, "collect") == 0)
		set(node, "collected", json_real(t));
}

static void on_hello(struct digest *d, const json_t *event)
{
	json_t *node = node_of(d, event);
	if (!node)
		return;
	set(node, "state", json_string("up"));
	set(node, "joined", json_real(since(d, event)));
	copy(node, event, "address machine facts");
	if (!json_has(node, "name")) // without a plan; the plan's name is the better one
		copy(node, event, "name");
}

static void on_lost(struct digest *d, const json_t *event)
{
	json_t *node = node_of(d, event);
	if (!node)
		return;
	set(node, "state", json_string("lost"));
	set(node, "lost", json_real(since(d, event)));
	note(d, "warnings", event, "node why");
}

static void on_back(struct digest *d, const json_t *event)
{
	json_t *node = node_of(d, event);
	if (!node)
		return;
	set(node, "state", json_string("up"));
	json_object_del(node, "lost");
	set(node, "away", json_real(json_number(node, "away") + json_number(event, "seconds")));
}

static void on_preflight(struct digest *d, const json_t *event)
{
	note(d, "preflight", event, "node disk memory rows");
}

static void on_input(struct digest *d, const json_t *event)
{
	if (json_object_get(event, "ok")) // else it only says how far it is
		note(d, "inputs", event, "node name from bytes seconds sha256 tree ok why commit");
}

static void on_setup(struct digest *d, const json_t *event)
{
	note(d, "setup", event, "node step name status seconds skipped last");
}

static void on_start(struct digest *d, const json_t *event)
{
	json_t *rank = rank_of(d, event);
	if (!rank)
		return;
	static const char *const stale[] = {"status", "signal", "why", "last", "seconds", "ended"};
	for (size_t i = 0; i < countof(stale); i++)
		json_object_del(rank, stale[i]);
	set(rank, "state", json_string("running"));
	set(rank, "started", json_real(since(d, event)));
	copy(rank, event, "node pid argv");
}

// Being told to end is no failure of the rank, whatever it exits with then.
static const char *judge_exit(const json_t *event)
{
	const char *why = json_text(event, "why");
	if (json_is(event, "why", "told to stop") || json_is(event, "why", "cancelled"))
		return "stopped";
	const json_t *status = json_object_get(event, "status");
	return json_is_integer(status) && json_integer_value(status) == 0 && !why ? "ok" : "failed";
}

static void on_rank_exit(struct digest *d, const json_t *event)
{
	json_t *rank = rank_of(d, event);
	if (!rank)
		return;
	set(rank, "state", json_string(judge_exit(event)));
	set(rank, "ended", json_real(since(d, event)));
	copy(rank, event, "node status signal why seconds last");
}

static void on_output(struct digest *d, const json_t *event)
{
	bool lost = json_is_false(json_object_get(event, "ok"));
	size_t before = lost ? d->lost++ : d->files++;
	d->file_bytes += json_number(event, "bytes");
	if (before < OUTPUTS_MAX)
		note(d, lost ? "lost_outputs" : "outputs", event, "node path bytes link ok why");
}

static void on_warn(struct digest *d, const json_t *event)
{
	note(d, "warnings", event, "node rank why");
}

static void on_fail(struct digest *d, const json_t *event)
{
	if (json_is_null(list(d, "failure"))) {
		json_t *failure = mem_json("{s:f}", "t", since(d, event));
		copy(failure, event, "phase node rank why");
		set(d->tree, "failure", failure);
	} else {
		note(d, "warnings", event, "node rank why");
	}
}

static void on_refused(struct digest *d, const json_t *event)
{
	note(d, "refused", event, "peer why");
}

static void on_signal(struct digest *d, const json_t *event)
{
	note(d, "signals", event, "signal why");
}

// What failed an attempt that was followed by another did not fail the run.
static void on_retry(struct digest *d, const json_t *event)
{
	note(d, "retries", event, "attempt why");
	copy(d->tree, event, "attempt");
	json_t *failure = list(d, "failure");
	if (json_is_object(failure)) {
		add(d, "warnings", json_incref(failure));
		set(d->tree, "failure", json_null());
	}
}

static void on_receipt(struct digest *d, const json_t *event)
{
	json_t *receipt = mem_json("{s:f}", "t", since(d, event));
	copy(receipt, event, "left seconds");
	set(d->tree, "receipt", receipt);
}

static void on_end(struct digest *d, const json_t *event)
{
	copy(d->tree, event, "outcome why exit seconds");
	set(d->tree, "ended", json_real(since(d, event)));
	set(d->tree, "state", json_string("done"));
}

static const struct handler {
	const char *type;
	void (*on)(struct digest *d, const json_t *event);
} handlers[] = {
	{"run", on_run},
	{"state", on_state},
	{"phase", on_phase},
	{"hello", on_hello},
	{"lost", on_lost},
	{"back", on_back},
	{"preflight", on_preflight},
	{"input", on_input},
	{"setup", on_setup},
	{"start", on_start},
	{"exit", on_rank_exit},
	{"output", on_output},
	{"warn", on_warn},
	{"fail", on_fail},
	{"refused", on_refused},
	{"signal", on_signal},
	{"retry", on_retry},
	{"receipt", on_receipt},
	{"end", on_end},
};

static void see(struct digest *d, const json_t *event)
{
	double ts = json_number(event, "ts");
	if (d->started == 0) { // no run event: the log is damaged, and the first line there is must do
		d->started = ts;
		set(d->tree, "started", json_real(ts));
	}
	if (ts > d->last)
		d->last = ts;
}

static int on_event(json_t *event, void *data)
{
	struct digest *d = data;
	see(d, event);
	iterations_add(d->iterations, event);
	for (size_t i = 0; i < countof(handlers); i++)
		if (event_is(event, handlers[i].type))
			handlers[i].on(d, event);
	return 0;
}

// --- metrics.jsonl ----------------------------------------------------------

static int on_metric(json_t *event, void *data)
{
	struct digest *d = data;
	see(d, event);
	metric_series_add(d->measures, event, since(d, event));
	iterations_add(d->iterations, event);
	return 0;
}

static json_t *new_tree(void)
{
	json_t *tree = mem_json("{s:i, s:s?, s:s?, s:s?, s:s?, s:i, s:s?, s:s, s:n, s:n, s:n, s:n, s:n, s:n, s:i}",
		"report", 1, "id", NULL, "name", NULL, "executor", NULL, "launch", NULL, "size", 0, "version", NULL,
		"state", "planned", "outcome", "why", "exit", "started", "ended", "seconds", "attempt", 1);
	static const char *const lists[] = {"nodes", "ranks", "phases", "preflight", "inputs", "setup", "outputs",
		"lost_outputs", "warnings", "refused", "signals", "retries"};
	set(tree, "failure", json_null());
	set(tree, "receipt", json_null());
	for (size_t i = 0; i < countof(lists); i++)
		set(tree, lists[i], json_array());
	return tree;
}

static void read_metrics(struct digest *d, const struct run *run, enum report_data_depth depth)
{
	struct stat st;
	uint64_t offset = 0;
	autofree char *path = run_path(run, "metrics.jsonl");
	if (depth == REPORT_DATA_EVENTS || stat(path, &st) < 0)
		return;
	if (depth == REPORT_DATA_LATEST && st.st_size > LATEST_BYTES)
		offset = (uint64_t)st.st_size - LATEST_BYTES; // in the middle of a line, which is no event then
	run_read(run, true, &offset, on_metric, d, NULL);
}

json_t *report_data_make(const struct run *run, enum report_data_depth depth, struct error *err)
{
	struct digest d = {.tree = new_tree(), .open = json_object(), .iterations = iterations_new()};
	take_plan(&d, run);
	uint64_t offset = 0;
	int rc = run_read(run, false, &offset, on_event, &d, err);
	json_decref(d.open);
	if (rc < 0) {
		json_decref(d.tree);
		iterations_free(d.iterations);
		return NULL;
	}
	d.measures = metric_series_new(d.limit, SERIES_LEAST + SERIES_EACH * (d.nodes + d.ranks));
	read_metrics(&d, run, depth);
	set(d.tree, "last", json_real(d.last - d.started));
	set(d.tree, "outputs_total",
		mem_json("{s:I, s:I, s:I}", "files", (json_int_t)d.files, "bytes", (json_int_t)d.file_bytes, "lost",
			(json_int_t)d.lost));
	metric_series_put(d.measures, d.tree);
	metric_series_free(d.measures);
	if (depth == REPORT_DATA_ALL)
		set(d.tree, "estimate", iterations_describe(d.iterations, iterations_leader(d.iterations)));
	iterations_free(d.iterations);
	return d.tree;
}
