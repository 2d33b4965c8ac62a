#include "report/report_text.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/text_table.h"
#include "report/html.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NODES_MAX = 6, RANKS_MAX = 8, METRICS_MAX = 8, LAST_MAX = 8, NOTES_MAX = 4 };

static void field(struct str *out, const char *name, const char *value)
{
	autofree char *plain = text_table_plain(value);
	str_printf(out, "  %-8s  %s\n", name, plain);
}

// What happened, then who it was and when.
static void put_failure(struct str *out, const json_t *report)
{
	const json_t *failure = json_object_get(report, "failure");
	const char *why = json_text(report, "why"), *cause = json_text(failure, "why");
	if (json_is(report, "outcome", "ok"))
		return;
	if (why || cause)
		field(out, "why", why ? why : cause);
	if (!json_is_object(failure))
		return;
	autostr struct str line = {0};
	if (json_has(failure, "rank"))
		str_printf(&line, "rank %.0f", json_number(failure, "rank"));
	if (html_node(report, failure))
		str_printf(&line, "%s%s", line.len ? " on " : "", html_node(report, failure));
	autofree char *after = html_seconds(failure, "t");
	str_printf(&line, "%safter %s", line.len ? ", " : "", after);
	if (json_text(failure, "phase"))
		str_printf(&line, ", in phase %s", json_text(failure, "phase"));
	if (why && cause && !json_is(report, "outcome", "failed")) // the run ended for another reason
		str_printf(&line, ": %s", cause);
	field(out, "", line.text);
}

// What the iterations predict, where the run was stopped before its end or still goes on.
static void put_estimate(struct str *out, const json_t *report)
{
	autofree char *line = html_estimate(report);
	if (!line)
		return;
	field(out, "estimate", line);
	size_t k;
	json_t *doubt;
	json_array_foreach (json_object_get(json_object_get(report, "estimate"), "doubts"), k, doubt) {
		autofree char *text = mem_printf("not reliable: %s", json_string_value(doubt));
		field(out, "", text);
	}
}

static void put_top(struct str *out, const json_t *report)
{
	time_t begun = (time_t)json_number(report, "started");
	struct tm tm;
	char date[64] = "";
	if (gmtime_r(&begun, &tm))
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm);
	autofree char *took = html_seconds(report, "seconds"), *mean = html_seconds(report, "mean_seconds");
	bool running = json_is(report, "outcome", "running");
	autofree char *word = text_table_plain(json_text(report, running ? "state" : "outcome")),
		      *phase = text_table_plain(json_text(report, "phase"));
	str_printf(out, "%s: %s", json_text(report, "id"), word);
	if (running && *phase)
		str_printf(out, " (%s)", phase);
	if (json_has(report, "exit") && json_number(report, "exit") != 0)
		str_printf(out, " (exit %.0f)", json_number(report, "exit"));
	str_puts(out, "\n");
	put_failure(out, report);
	autofree char *when = mem_printf(
		"%s, %s %s%s%s", date, running ? "for" : "took", took, *mean ? ", mean over nodes " : "", mean);
	field(out, "started", when);
	autofree char *cluster = mem_printf("%s, %zu node%s, %zu rank%s",
		json_text(report, "executor") ? json_text(report, "executor") : "unknown", json_count(report, "nodes"),
		json_count(report, "nodes") == 1 ? "" : "s", json_count(report, "ranks"),
		json_count(report, "ranks") == 1 ? "" : "s");
	field(out, "cluster", cluster);
}

static void put_phases(struct str *out, const json_t *report)
{
	autostr struct str list = {0};
	size_t k;
	json_t *phase;
	json_array_foreach (json_object_get(report, "phases"), k, phase) {
		if (json_has(phase, "node"))
			continue;
		autofree char *seconds = html_seconds(phase, "seconds");
		str_printf(
			&list, "%s%s %s", list.len ? ", " : "", json_text(phase, "name"), *seconds ? seconds : "...");
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
		if (json_has(item, "node") && (size_t)json_whole(item, "node") == node)
			return item;
	return NULL;
}

static void put_grid(struct text_table *g, struct str *out)
{
	if (g->ncells)
		str_puts(out, "\n");
	text_table_print(g, out, "  ");
}

static void put_nodes(struct str *out, const json_t *report)
{
	static const char *const heads[] = {"NODE", "STATE", "PHASE", "ADDRESS", "#TOTAL", "#CPU", "#MEMORY", NULL};
	struct text_table g = {.heads = heads};
	bool running = json_is(report, "outcome", "running");
	size_t k, count = json_count(report, "nodes");
	json_t *node;
	json_array_foreach (json_object_get(report, "nodes"), k, node) {
		if (k >= NODES_MAX && count > NODES_MAX + 1)
			break;
		const json_t *sample = sampled(report, k), *cpu = json_object_get(sample, "cpu");
		text_table_add(&g, json_text(node, "name"));
		text_table_add(&g, json_text(node, "state"));
		text_table_add(&g, running ? json_text(node, "phase") : NULL);
		text_table_add(&g, json_text(node, "address"));
		text_table_take(&g, html_seconds(node, "seconds"));
		text_table_take(&g, json_has(cpu, "mean")
					    ? mem_printf("%.2f", json_number(cpu, running ? "last" : "mean"))
					    : mem_strdup(""));
		text_table_take(&g, html_bytes(json_object_get(sample, "memory"), running ? "last" : "max"));
	}
	put_grid(&g, out);
	if (k < count)
		str_printf(out, "  and %zu more nodes\n", count - k);
}

// Exit and, while it runs, how far it is.
static void add_rank(struct text_table *g, const json_t *report, const json_t *rank)
{
	autofree char *number = html_count(rank, "rank"), *status = html_count(rank, "status"),
		      *signal = html_count(rank, "signal");
	const char *why = json_text(rank, "why");
	const json_t *progress = NULL;
	size_t k;
	json_t *item;
	json_array_foreach (json_object_get(report, "progress"), k, item)
		if (json_equal(json_object_get(item, "rank"), json_object_get(rank, "rank")))
			progress = item;
	text_table_add(g, number);
	text_table_add(g, html_node(report, rank));
	text_table_add(g, json_text(rank, "state"));
	text_table_take(
		g, mem_printf("%s%s%s%s", *signal ? "signal " : status, signal, why ? ", " : "", why ? why : ""));
	text_table_take(g, html_seconds(rank, "seconds"));
	text_table_take(g, html_bytes(rank, "bytes"));
	if (progress && json_has(progress, "total"))
		text_table_take(
			g, mem_printf("%.0f of %.0f", json_number(progress, "done"), json_number(progress, "total")));
	else
		text_table_take(g, progress ? mem_printf("%.0f", json_number(progress, "done")) : mem_strdup(""));
}

// Of many ranks those are shown that did not end well, and how the others stand.
static void put_ranks(struct str *out, const json_t *report)
{
	static const char *const heads[] = {"RANK", "NODE", "STATE", "EXIT", "#RAN FOR", "#OUTPUT", "#PROGRESS", NULL};
	struct text_table g = {.heads = heads};
	size_t k, shown = 0, count = json_count(report, "ranks");
	json_t *rank;
	autojson json_t *others = json_object();
	json_array_foreach (json_object_get(report, "ranks"), k, rank) {
		const char *state = json_text(rank, "state");
		if (count <= RANKS_MAX || (shown < RANKS_MAX && (json_is(rank, "state", "failed") ||
									json_is(rank, "state", "unknown")))) {
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
	struct text_table g = {.heads = heads};
	size_t i, k;
	json_t *metric, *series;
	json_array_foreach (json_object_get(report, "metrics"), i, metric) {
		double last = 0, low = 0, high = 0, values = 0;
		size_t known = 0;
		json_array_foreach (json_object_get(metric, "series"), k, series) {
			values += json_number(series, "count");
			if (!json_has(series, "min") || !json_has(series, "last"))
				continue;
			double min = json_number(series, "min"), max = json_number(series, "max");
			low = known && low < min ? low : min;
			high = known && high > max ? high : max;
			last += json_number(series, "last");
			known++;
		}
		if (i >= METRICS_MAX)
			break;
		text_table_add(&g, json_text(metric, "name"));
		text_table_add(&g, json_text(metric, "unit"));
		text_table_take(&g, known ? mem_printf("%.4g", last / (double)known) : mem_strdup("not a number"));
		text_table_take(&g, known ? mem_printf("%.4g", low) : mem_strdup(""));
		text_table_take(&g, known ? mem_printf("%.4g", high) : mem_strdup(""));
		text_table_take(&g, mem_printf("%.0f", values));
	}
	put_grid(&g, out);
	if (json_has(report, "values_left_out"))
		str_printf(out, "  left out: %.0f values of further metrics and samples, see metrics.jsonl\n",
			json_number(report, "values_left_out"));
}

static void put_last(struct str *out, const json_t *report)
{
	const json_t *failure = json_object_get(report, "failure");
	const json_t *rank = json_has(failure, "rank") ? json_array_get(json_object_get(report, "ranks"),
								 (size_t)json_whole(failure, "rank"))
						       : NULL;
	const json_t *last = json_object_get(rank, "last");
	size_t count = json_array_size(last);
	if (!count || json_is(report, "outcome", "ok"))
		return;
	str_printf(out, "\n  last lines of rank %.0f\n", json_number(failure, "rank"));
	for (size_t k = count > LAST_MAX ? count - LAST_MAX : 0; k < count; k++) {
		autofree char *line = text_table_plain(json_string_value(json_array_get(last, k)));
		str_printf(out, "    %.200s\n", line);
	}
}

static void put_notes(struct str *out, const json_t *report)
{
	size_t k, count = json_count(report, "warnings");
	json_t *item;
	if (count || json_has(report, "receipt"))
		str_puts(out, "\n");
	json_array_foreach (json_object_get(report, "warnings"), k, item) {
		if (k >= NOTES_MAX)
			break;
		const char *node = html_node(report, item);
		autofree char *line = mem_printf("%s%s%s", node ? node : "", node ? ": " : "",
			json_text(item, "why") ? json_text(item, "why") : "");
		field(out, "warning", line);
	}
	if (count > NOTES_MAX)
		str_printf(out, "  and %zu more warnings\n", count - NOTES_MAX);
	size_t left = json_count(json_object_get(report, "receipt"), "left");
	autofree char *things =
		mem_printf("%zu item%s left behind, see `muster reap`", left, left == 1 ? " is" : "s are");
	if (json_has(report, "receipt"))
		field(out, "receipt", left ? things : "nothing is left");
}

char *report_text_make(const json_t *report)
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
