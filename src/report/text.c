#include "report/text.h"

#include "base/grid.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/tree.h"
#include "report/markup.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NODES_MAX = 6, RANKS_MAX = 8, METRICS_MAX = 8, LAST_MAX = 8, NOTES_MAX = 4 };

static void field(struct str *out, const char *name, const char *value)
{
	autofree char *plain = grid_plain(value);
	str_printf(out, "  %-8s  %s\n", name, plain);
}

// What happened, then who it was and when.
static void put_failure(struct str *out, const json_t *report)
{
	const json_t *failure = json_object_get(report, "failure");
	const char *why = tree_text(report, "why"), *cause = tree_text(failure, "why");
	if (tree_is(report, "outcome", "ok"))
		return;
	if (why || cause)
		field(out, "why", why ? why : cause);
	if (!json_is_object(failure))
		return;
	autostr struct str line = {0};
	if (tree_has(failure, "rank"))
		str_printf(&line, "rank %.0f", tree_number(failure, "rank"));
	if (markup_node(report, failure))
		str_printf(&line, "%s%s", line.len ? " on " : "", markup_node(report, failure));
	autofree char *after = markup_seconds(failure, "t");
	str_printf(&line, "%safter %s", line.len ? ", " : "", after);
	if (tree_text(failure, "phase"))
		str_printf(&line, ", in phase %s", tree_text(failure, "phase"));
	if (why && cause && !tree_is(report, "outcome", "failed")) // the run ended for another reason
		str_printf(&line, ": %s", cause);
	field(out, "", line.text);
}

// What the iterations foretell, where the run was stopped before its end or still goes on.
static void put_estimate(struct str *out, const json_t *report)
{
	autofree char *line = markup_estimate(report);
	if (!line)
		return;
	field(out, "estimate", line);
	size_t k;
	json_t *doubt;
	json_array_foreach (json_object_get(json_object_get(report, "estimate"), "doubts"), k, doubt) {
		autofree char *text = mem_printf("not to be trusted: %s", json_string_value(doubt));
		field(out, "", text);
	}
}

static void put_top(struct str *out, const json_t *report)
{
	time_t begun = (time_t)tree_number(report, "started");
	struct tm tm;
	char date[64] = "";
	if (gmtime_r(&begun, &tm))
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm);
	autofree char *took = markup_seconds(report, "seconds"), *mean = markup_seconds(report, "mean_seconds");
	bool running = tree_is(report, "outcome", "running");
	autofree char *word = grid_plain(tree_text(report, running ? "state" : "outcome")),
		      *phase = grid_plain(tree_text(report, "phase"));
	str_printf(out, "%s: %s", tree_text(report, "id"), word);
	if (running && *phase)
		str_printf(out, " (%s)", phase);
	if (tree_has(report, "exit") && tree_number(report, "exit") != 0)
		str_printf(out, " (exit %.0f)", tree_number(report, "exit"));
	str_puts(out, "\n");
	put_failure(out, report);
	autofree char *when = mem_printf(
		"%s, %s %s%s%s", date, running ? "for" : "took", took, *mean ? ", mean over nodes " : "", mean);
	field(out, "started", when);
	autofree char *cluster = mem_printf("%s, %zu node%s, %zu rank%s",
		tree_text(report, "executor") ? tree_text(report, "executor") : "unknown", tree_count(report, "nodes"),
		tree_count(report, "nodes") == 1 ? "" : "s", tree_count(report, "ranks"),
		tree_count(report, "ranks") == 1 ? "" : "s");
	field(out, "cluster", cluster);
}

static void put_phases(struct str *out, const json_t *report)
{
	autostr struct str list = {0};
	size_t k;
	json_t *phase;
	json_array_foreach (json_object_get(report, "phases"), k, phase) {
		if (tree_has(phase, "node"))
			continue;
		autofree char *seconds = markup_seconds(phase, "seconds");
		str_printf(
			&list, "%s%s %s", list.len ? ", " : "", tree_text(phase, "name"), *seconds ? seconds : "...");
	}
	if (list.len)
		field(out, "phases", list.text);
}

// The last sample of a node: "cpu" or "memory".
static const json_t *sampled(const json_t *report, size_t node)
{
	size_t k;
	json_t *item;
	json_array_foreach (json_object_get(json_object_get(report, "samples"), "nodes"), k, item)
		if (tree_has(item, "node") && (size_t)tree_whole(item, "node") == node)
			return item;
	return NULL;
}

static void put_grid(struct grid *g, struct str *out)
{
	if (g->ncells)
		str_puts(out, "\n");
	grid_print(g, out, "  ");
}

static void put_nodes(struct str *out, const json_t *report)
{
	static const char *const heads[] = {"NODE", "STATE", "PHASE", "ADDRESS", "#TOTAL", "#CPU", "#MEMORY", NULL};
	struct grid g = {.heads = heads};
	bool running = tree_is(report, "outcome", "running");
	size_t k, count = tree_count(report, "nodes");
	json_t *node;
	json_array_foreach (json_object_get(report, "nodes"), k, node) {
		if (k >= NODES_MAX && count > NODES_MAX + 1)
			break;
		const json_t *sample = sampled(report, k), *cpu = json_object_get(sample, "cpu");
		grid_add(&g, tree_text(node, "name"));
		grid_add(&g, tree_text(node, "state"));
		grid_add(&g, running ? tree_text(node, "phase") : NULL);
		grid_add(&g, tree_text(node, "address"));
		grid_take(&g, markup_seconds(node, "seconds"));
		grid_take(&g, tree_has(cpu, "mean") ? mem_printf("%.2f", tree_number(cpu, running ? "last" : "mean"))
						    : mem_strdup(""));
		grid_take(&g, markup_bytes(json_object_get(sample, "memory"), running ? "last" : "max"));
	}
	put_grid(&g, out);
	if (k < count)
		str_printf(out, "  and %zu more nodes\n", count - k);
}

// Exit and, while it runs, how far it is.
static void add_rank(struct grid *g, const json_t *report, const json_t *rank)
{
	autofree char *number = markup_count(rank, "rank"), *status = markup_count(rank, "status"),
		      *signal = markup_count(rank, "signal");
	const char *why = tree_text(rank, "why");
	const json_t *progress = NULL;
	size_t k;
	json_t *item;
	json_array_foreach (json_object_get(report, "progress"), k, item)
		if (json_equal(json_object_get(item, "rank"), json_object_get(rank, "rank")))
			progress = item;
	grid_add(g, number);
	grid_add(g, markup_node(report, rank));
	grid_add(g, tree_text(rank, "state"));
	grid_take(g, mem_printf("%s%s%s%s", *signal ? "signal " : status, signal, why ? ", " : "", why ? why : ""));
	grid_take(g, markup_seconds(rank, "seconds"));
	grid_take(g, markup_bytes(rank, "bytes"));
	grid_take(g, progress
			     ? mem_printf("%.0f of %.0f", tree_number(progress, "done"), tree_number(progress, "total"))
			     : mem_strdup(""));
}

// Of many ranks those are shown that did not end well, and how the others stand.
static void put_ranks(struct str *out, const json_t *report)
{
	static const char *const heads[] = {"RANK", "NODE", "STATE", "EXIT", "#RAN FOR", "#OUTPUT", "#PROGRESS", NULL};
	struct grid g = {.heads = heads};
	size_t k, shown = 0, count = tree_count(report, "ranks");
	json_t *rank;
	autojson json_t *others = json_object();
	json_array_foreach (json_object_get(report, "ranks"), k, rank) {
		const char *state = tree_text(rank, "state");
		if (count <= RANKS_MAX || (shown < RANKS_MAX && (tree_is(rank, "state", "failed") ||
									tree_is(rank, "state", "unknown")))) {
			add_rank(&g, report, rank);
			shown++;
		} else if (state) {
			json_object_set_new(
				others, state, json_integer(json_integer_value(json_object_get(others, state)) + 1));
		}
	}
	put_grid(&g, out);
	if (shown < count)
		str_printf(out, "%s  %s%zu ranks:", shown ? "" : "\n", shown ? "and " : "", count - shown);
	const char *state, *comma = " ";
	json_t *number;
	json_object_foreach (others, state, number) {
		str_printf(out, "%s%d %s", comma, (int)json_integer_value(number), state);
		comma = ", ";
	}
	if (shown < count)
		str_puts(out, "\n");
}

// One line a metric: the mean over ranks of the last value, and the extremes of all.
static void put_metrics(struct str *out, const json_t *report)
{
	static const char *const heads[] = {"METRIC", "UNIT", "#LAST", "#LOWEST", "#HIGHEST", "#VALUES", NULL};
	struct grid g = {.heads = heads};
	size_t i, k;
	json_t *metric, *series;
	json_array_foreach (json_object_get(report, "metrics"), i, metric) {
		double last = 0, low = 0, high = 0, values = 0;
		size_t known = 0;
		json_array_foreach (json_object_get(metric, "series"), k, series) {
			values += tree_number(series, "count");
			if (!tree_has(series, "min") || !tree_has(series, "last"))
				continue;
			double min = tree_number(series, "min"), max = tree_number(series, "max");
			low = known && low < min ? low : min;
			high = known && high > max ? high : max;
			last += tree_number(series, "last");
			known++;
		}
		if (i >= METRICS_MAX)
			break;
		grid_add(&g, tree_text(metric, "name"));
		grid_add(&g, tree_text(metric, "unit"));
		grid_take(&g, known ? mem_printf("%.4g", last / (double)known) : mem_strdup("not a number"));
		grid_take(&g, known ? mem_printf("%.4g", low) : mem_strdup(""));
		grid_take(&g, known ? mem_printf("%.4g", high) : mem_strdup(""));
		grid_take(&g, mem_printf("%.0f", values));
	}
	put_grid(&g, out);
}

static void put_last(struct str *out, const json_t *report)
{
	const json_t *failure = json_object_get(report, "failure");
	const json_t *rank = tree_has(failure, "rank") ? json_array_get(json_object_get(report, "ranks"),
								 (size_t)tree_whole(failure, "rank"))
						       : NULL;
	const json_t *last = json_object_get(rank, "last");
	size_t count = json_array_size(last);
	if (!count || tree_is(report, "outcome", "ok"))
		return;
	str_printf(out, "\n  last lines of rank %.0f\n", tree_number(failure, "rank"));
	for (size_t k = count > LAST_MAX ? count - LAST_MAX : 0; k < count; k++) {
		autofree char *line = grid_plain(json_string_value(json_array_get(last, k)));
		str_printf(out, "    %.200s\n", line);
	}
}

static void put_notes(struct str *out, const json_t *report)
{
	size_t k, count = tree_count(report, "warnings");
	json_t *item;
	if (count || tree_has(report, "receipt"))
		str_puts(out, "\n");
	json_array_foreach (json_object_get(report, "warnings"), k, item) {
		if (k >= NOTES_MAX)
			break;
		const char *node = markup_node(report, item);
		autofree char *line = mem_printf("%s%s%s", node ? node : "", node ? ": " : "",
			tree_text(item, "why") ? tree_text(item, "why") : "");
		field(out, "warning", line);
	}
	if (count > NOTES_MAX)
		str_printf(out, "  and %zu more warnings\n", count - NOTES_MAX);
	size_t left = tree_count(json_object_get(report, "receipt"), "left");
	autofree char *things =
		mem_printf("%zu thing%s still there, see `muster reap`", left, left == 1 ? " is" : "s are");
	if (tree_has(report, "receipt"))
		field(out, "receipt", left ? things : "nothing is left");
}

char *text_make(const json_t *report)
{
	struct str out = {0};
	put_top(&out, report);
	put_phases(&out, report);
	put_estimate(&out, report);
	put_nodes(&out, report);
	put_ranks(&out, report);
	put_metrics(&out, report);
	put_last(&out, report);
	put_notes(&out, report);
	return str_steal(&out);
}
