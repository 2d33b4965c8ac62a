#include "report/report.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "report/images.h"
#include "report/report_data.h"
#include "report/report_html.h"
#include "report/report_text.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IMAGE_BYTES = 8 << 20, TAIL_BYTES = 8 << 10, TAIL_LINES = 20, BRIEF_BYTES = 16 << 10, YOUNG = 10 };

// --- how it went ------------------------------------------------------------

static char *why_lost(const json_t *control)
{
	long long pid = json_integer_value(json_object_get(control, "pid"));
	if (pid)
		return mem_printf("its controller (pid %lld) was killed; `muster reap` removes what it left", pid);
	return mem_strdup("its controller was killed; `muster reap` removes what it left");
}

// A controller that is just beginning has not said yet that it is there.
static bool is_young(const json_t *tree, const json_t *control)
{
	return !control && clock_wall() - json_number(tree, "started") < YOUNG;
}

// Without an end event the run is still going, or nobody is left to end it.
static void judge(json_t *tree, bool alive, const json_t *control)
{
	if (json_text(tree, "outcome"))
		return;
	alive |= is_young(tree, control);
	json_object_set_new(tree, "outcome", json_string(alive ? "running" : "lost"));
	if (alive) {
		json_object_set_new(tree, "seconds", json_real(clock_wall() - json_number(tree, "started")));
	} else {
		autofree char *why = why_lost(control);
		json_object_set_new(tree, "why", json_string(why));
		json_object_set_new(tree, "exit", json_integer(ERROR_SYSTEM));
		json_object_set(tree, "seconds", json_object_get(tree, "last"));
	}
}

// What stood when the log ended does not stand any more.
static void judge_nodes(json_t *tree)
{
	size_t k;
	json_t *node;
	json_array_foreach (json_object_get(tree, "nodes"), k, node)
		if (json_is(node, "state", "up") && !json_is(tree, "outcome", "running"))
			json_object_set_new(
				node, "state", json_string(json_is(tree, "state", "done") ? "done" : "unknown"));
}

static void judge_ranks(json_t *tree)
{
	bool over = !json_is(tree, "outcome", "running");
	size_t k;
	json_t *rank;
	json_array_foreach (json_object_get(tree, "ranks"), k, rank) {
		if (over && json_is(rank, "state", "running"))
			json_object_set_new(rank, "state", json_string("unknown"));
		// The agent told the first failure as an event; if it could not, the first rank that failed is the one.
		if (!json_has(tree, "failure") && json_is(rank, "state", "failed") &&
			json_is(tree, "outcome", "failed")) {
			autofree char *how =
				json_has(rank, "signal")
					? mem_printf("killed by signal %d", (int)json_whole(rank, "signal"))
					: mem_printf("exit status %d", (int)json_whole(rank, "status"));
			json_object_set_new(tree, "failure",
				mem_json("{s:f, s:s, s:i, s:O*, s:s}", "t", json_number(rank, "ended"), "phase", "run",
					"rank", (int)k, "node", json_object_get(rank, "node"), "why", how));
		}
	}
}

// --- times ------------------------------------------------------------------

// Seconds of the run phase over all attempts, by node, behind them the cluster's own; negative: it never was. Owned by
// the caller.
static double *run_phases(const json_t *tree, size_t nodes)
{
	double *seconds = mem_alloc((nodes + 1) * sizeof *seconds);
	for (size_t i = 0; i <= nodes; i++)
		seconds[i] = -1;
	size_t k;
	json_t *phase;
	json_array_foreach (json_object_get(tree, "phases"), k, phase) {
		bool own = json_has(phase, "node");
		size_t node = own ? (size_t)json_whole(phase, "node") : nodes;
		if ((own && node >= nodes) || !json_is(phase, "name", "run") || !json_has(phase, "seconds"))
			continue;
		seconds[node] = (seconds[node] < 0 ? 0 : seconds[node]) + json_number(phase, "seconds");
	}
	return seconds;
}

// A node's total: from its hello to the end of its collect phase; where it did not get there, its run phase, or else
// the cluster's.
static void add_totals(json_t *tree)
{
	double sum = 0;
	size_t k, count = 0, nodes = json_count(tree, "nodes");
	autofree double *run = run_phases(tree, nodes);
	json_t *node;
	json_array_foreach (json_object_get(tree, "nodes"), k, node) {
		double seconds = -1;
		if (json_has(node, "joined") && json_has(node, "collected"))
			seconds = json_number(node, "collected") - json_number(node, "joined");
		if (seconds < 0)
			seconds = run[k];
		if (seconds < 0)
			seconds = run[nodes];
		if (seconds < 0)
			continue;
		json_object_set_new(node, "seconds", json_real(seconds));
		sum += seconds;
		count++;
	}
	json_object_set_new(tree, "mean_seconds", count ? json_real(sum / (double)count) : json_null());
}

// --- files ------------------------------------------------------------------

static json_t *last_lines(int fd, off_t size)
{
	char bytes[TAIL_BYTES];
	off_t from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
	ssize_t len = pread(fd, bytes, sizeof(bytes), from);
	if (len <= 0)
		return NULL;
	size_t end = (size_t)len - (bytes[len - 1] == '\n'), begin = end, lines = 0;
	while (begin > 0 && (bytes[begin - 1] != '\n' || ++lines < TAIL_LINES))
		begin--;
	json_t *list = json_array();
	while (begin <= end) {
		char *stop = memchr(bytes + begin, '\n', end - begin);
		size_t n = stop ? (size_t)(stop - bytes) - begin : end - begin;
		autofree char *clean = str_utf8_clean(bytes + begin, n);
		json_array_append_new(list, json_string(clean));
		begin += n + 1;
	}
	return list;
}

// The size of each rank's output, and its last lines where an agent that died could not send them.
static void add_outputs(json_t *tree, const struct run *run)
{
	size_t k;
	json_t *rank;
	json_array_foreach (json_object_get(tree, "ranks"), k, rank) {
		autofree char *name = mem_printf("%s/ranks/output-%zu.txt", run->dir, k);
		autoclose int fd = open(name, O_RDONLY | O_CLOEXEC);
		struct stat st;
		if (fd < 0 || fstat(fd, &st) < 0)
			continue;
		json_object_set_new(rank, "bytes", json_integer(st.st_size));
		if (!json_count(rank, "last") &&
			(json_is(rank, "state", "failed") || json_is(rank, "state", "unknown"))) {
			json_t *last = last_lines(fd, st.st_size);
			if (last)
				json_object_set_new(rank, "last", last);
		}
	}
}

static json_t *make(const struct run *run, enum report_data_depth depth, struct error *err)
{
	// Asked before the log is read: a controller that ends in between has written its end by then.
	json_t *control = NULL;
	bool alive = run_alive(run, &control);
	json_t *tree = report_data_make(run, depth, err);
	if (tree) {
		json_object_set_new(tree, "id", json_string(run->id));
		judge(tree, alive, control);
		judge_nodes(tree);
		judge_ranks(tree);
		add_totals(tree);
		add_outputs(tree, run);
	}
	json_decref(control);
	return tree;
}

json_t *report_make(const struct run *run, struct error *err)
{
	json_t *tree = make(run, REPORT_DATA_ALL, err);
	if (tree)
		json_object_set_new(tree, "images", images_find(run, IMAGE_BYTES));
	return tree;
}

static void drop(json_t *object, const char *const *names)
{
	for (; *names; names++)
		json_object_del(object, *names);
}

json_t *report_summary(const struct run *run, struct error *err)
{
	static const char *const heavy[] = {
		"samples", "inputs", "outputs", "lost_outputs", "setup", "preflight", "iterations", "refused", NULL};
	static const char *const curves[] = {"points", NULL};
	static const char *const details[] = {"argv", "facts", NULL};
	json_t *tree = make(run, REPORT_DATA_LATEST, err);
	drop(tree, heavy);
	size_t i, k;
	json_t *metric, *item;
	json_array_foreach (json_object_get(tree, "metrics"), i, metric)
		json_array_foreach (json_object_get(metric, "series"), k, item)
			drop(item, curves);
	json_array_foreach (json_object_get(tree, "ranks"), k, item)
		drop(item, details);
	json_array_foreach (json_object_get(tree, "nodes"), k, item)
		drop(item, details);
	return tree;
}

// --- the brief form ---------------------------------------------------------

static ssize_t read_at(int fd, char *bytes, off_t at)
{
	ssize_t n;
	while ((n = pread(fd, bytes, BRIEF_BYTES, at)) < 0 && errno == EINTR)
		;
	return n;
}

static json_t *first_event(const char *bytes, size_t len)
{
	const char *end = memchr(bytes, '\n', len);
	return end ? event_parse(bytes, (size_t)(end - bytes), NULL) : NULL;
}

static json_t *last_event(const char *bytes, size_t len)
{
	while (len && bytes[len - 1] != '\n') // torn
		len--;
	const char *begin = len > 1 ? memrchr(bytes, '\n', len - 1) : NULL;
	begin = begin ? begin + 1 : bytes;
	return event_parse(begin, (size_t)(bytes + len - begin), NULL);
}

json_t *report_brief(const struct run *run, struct error *err)
{
	autofree char *path = run_path(run, "events.jsonl");
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		error_errno(err, "cannot open %s", path);
		return NULL;
	}
	json_t *control = NULL;
	bool alive = run_alive(run, &control); // before the log, as in make
	char bytes[BRIEF_BYTES];
	ssize_t n = read_at(fd, bytes, 0);
	autojson json_t *first = n > 0 ? first_event(bytes, (size_t)n) : NULL;
	off_t size = lseek(fd, 0, SEEK_END);
	n = read_at(fd, bytes, size > BRIEF_BYTES ? size - BRIEF_BYTES : 0);
	autojson json_t *last = n > 0 ? last_event(bytes, (size_t)n) : NULL;
	json_t *tree = mem_json("{s:s, s:s?, s:s?, s:n, s:n, s:n, s:O?, s:O?, s:f, s:n}", "id", run->id, "name",
		json_text(first, "name"), "executor", json_text(first, "executor"), "outcome", "why", "exit", "nodes",
		json_object_get(first, "nodes"), "size", json_object_get(first, "size"), "started",
		json_number(first, "ts"), "seconds");
	if (event_is(last, "end")) {
		static const char *const members[] = {"outcome", "why", "exit", "seconds"};
		for (size_t i = 0; i < countof(members); i++)
			json_object_set(tree, members[i], json_object_get(last, members[i]));
	} else {
		json_object_set_new(tree, "last", json_real(json_number(last, "ts") - json_number(first, "ts")));
	}
	judge(tree, alive, control);
	json_object_del(tree, "last");
	json_decref(control);
	return tree;
}

// --- out --------------------------------------------------------------------

char *report_text(const json_t *report)
{
	return report_text_make(report);
}

char *report_html(const json_t *report, const struct run *run)
{
	return report_html_make(report, run);
}

static int write_file(const struct run *run, const char *name, const char *content, struct error *err)
{
	autofree char *path = run_path(run, name);
	return fs_write(path, content, strlen(content), 0644, err);
}

int report_write(const struct run *run, struct error *err)
{
	autojson json_t *report = report_make(run, err);
	if (!report)
		return -1;
	autofree char *json = json_dumps(report, JSON_COMPACT | JSON_REAL_PRECISION(16));
	if (write_file(run, "report.json", json, err) < 0)
		return -1;
	autofree char *html = report_html(report, run);
	if (write_file(run, "report.html", html, err) < 0)
		return -1;
	autofree char *times =
		json_has(report, "mean_seconds")
			? mem_printf("%s: %.3f\n", json_text(report, "name") ? json_text(report, "name") : run->id,
				  json_number(report, "mean_seconds"))
			: mem_strdup("");
	return write_file(run, "times.txt", times, err);
}
