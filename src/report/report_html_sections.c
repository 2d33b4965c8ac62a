#include "report/report_html_sections.h"

#include "base/json.h"
#include "base/mem.h"
#include "report/html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MATRIX_MAX = 32 };

// --- the timeline -----------------------------------------------------------

static const char *const phase_names[] = {
	"bring-up", "preflight", "stage", "setup", "run", "collect", "teardown", NULL};

static int phase_number(const char *name)
{
	for (int i = 0; phase_names[i]; i++)
		if (name && strcmp(name, phase_names[i]) == 0)
			return i;
	return 7;
}

// The phases of the run, then those of each of so many nodes: lists, owned by the caller.
static json_t *sort_phases(const json_t *report, size_t nodes)
{
	json_t *rows = json_array(), *phase;
	for (size_t i = 0; i <= nodes; i++)
		json_array_append_new(rows, json_array());
	size_t k;
	json_array_foreach (json_object_get(report, "phases"), k, phase) {
		size_t row = json_has(phase, "node") ? (size_t)json_whole(phase, "node") + 1 : 0;
		json_array_append(json_array_get(rows, row), phase);
	}
	return rows;
}

static void put_bars(struct str *h, const json_t *phases, double total)
{
	size_t k;
	json_t *phase;
	json_array_foreach (phases, k, phase) {
		double begin = fmax(0, json_number(phase, "begin")),
		       end = json_has(phase, "end") ? json_number(phase, "end") : total;
		double left = fmin(100, 100 * begin / total),
		       width = fmin(100 - left, fmax(0, 100 * (end - begin) / total));
		autofree char *seconds = str_seconds(fmax(0, end - begin));
		str_printf(h, "<i class=\"p%d%s\" style=\"left:%.3f%%;width:%.3f%%\" title=\"",
			phase_number(json_text(phase, "name")), json_has(phase, "end") ? "" : " open", left, width);
		html_escape(h, json_text(phase, "name"));
		str_printf(h, ", %s\">", seconds);
		if (width > 12) {
			str_puts(h, "<b>");
			html_escape(h, json_text(phase, "name"));
			str_puts(h, "</b>");
		}
		str_puts(h, "</i>");
	}
}

static void put_ticks(struct str *h, double total)
{
	double step = pow(10, floor(log10(total / 4)));
	static const double nice[] = {1, 2, 5, 10};
	for (size_t i = 0; i < countof(nice); i++) {
		if (step * nice[i] >= total / 6) {
			step *= nice[i];
			break;
		}
	}
	str_puts(h, "<div class=\"row ticks\"><span></span><div>");
	for (double t = 0; t < total * 0.97; t += step)
		str_printf(h, "<i style=\"left:%.3f%%\">%g s</i>", 100 * t / total, t);
	str_puts(h, "</div></div>\n");
}

// Seconds of one of the phases, over all attempts; negative when it never was.
static double phase_seconds(const json_t *phases, const char *name)
{
	double sum = -1;
	size_t k;
	json_t *phase;
	json_array_foreach (phases, k, phase)
		if (json_is(phase, "name", name) && json_has(phase, "seconds"))
			sum = fmax(sum, 0) + json_number(phase, "seconds");
	return sum;
}

static void put_phase_table(struct str *h, const json_t *report, const json_t *rows)
{
	str_puts(h,
		"<details><summary>Seconds of each phase</summary><div class=\"scroll\"><table><thead><tr><th></th>");
	for (int i = 0; phase_names[i]; i++)
		str_printf(
			h, "<th scope=\"col\" class=\"n\"><span class=\"key p%d\"></span> %s</th>", i, phase_names[i]);
	str_puts(h, "<th scope=\"col\" class=\"n\">total</th></tr></thead><tbody>\n");
	size_t k;
	const json_t *phases;
	json_array_foreach (rows, k, phases) {
		const json_t *item = k == 0 ? report : json_array_get(json_object_get(report, "nodes"), k - 1);
		str_puts(h, "<tr><th scope=\"row\">");
		html_escape(h, k == 0 ? "the run" : json_text(item, "name"));
		str_puts(h, "</th>");
		for (int i = 0; phase_names[i]; i++) {
			double seconds = phase_seconds(phases, phase_names[i]);
			html_cell_take(h, "n", seconds < 0 ? mem_strdup("") : mem_printf("%.2f", seconds));
		}
		html_cell_take(h, "n",
			json_has(item, "seconds") ? mem_printf("%.2f", json_number(item, "seconds")) : mem_strdup(""));
		str_puts(h, "</tr>\n");
	}
	str_puts(h, "</tbody></table></div></details>");
}

void report_html_sections_timeline(struct str *h, const json_t *report)
{
	double total = fmax(json_number(report, "seconds"), 0.001);
	size_t k, nodes = json_count(report, "nodes"), shown = nodes < HTML_ROWS ? nodes : HTML_ROWS;
	if (!json_count(report, "phases"))
		return;
	str_puts(h, "<section><h2>Timeline</h2><div class=\"gantt\">\n");
	autojson json_t *rows = sort_phases(report, shown);
	const json_t *phases;
	json_array_foreach (rows, k, phases) {
		const json_t *item = k == 0 ? NULL : json_array_get(json_object_get(report, "nodes"), k - 1);
		str_puts(h, "<div class=\"row\"><span>");
		html_escape(h, k == 0 ? "the run" : json_text(item, "name"));
		str_puts(h, "</span><div>");
		put_bars(h, phases, total);
		str_puts(h, "</div></div>\n");
	}
	put_ticks(h, total);
	str_puts(h, "</div><p class=\"keys\">");
	for (int i = 0; phase_names[i]; i++)
		str_printf(h, "<span><span class=\"key p%d\"></span> %s</span> ", i, phase_names[i]);
	str_puts(h, "</p>");
	put_phase_table(h, report, rows);
	if (nodes > shown)
		str_printf(h, "<p class=\"more\">The first %zu of %zu nodes; the phases of all are in report.json.</p>",
			shown, nodes);
	str_puts(h, "</section>\n");
}

// --- nodes and ranks --------------------------------------------------------

void report_html_sections_nodes(struct str *h, const json_t *report)
{
	static const char *const heads[] = {"Node", "State", "Address", "#Cores", "#Memory", "#CPU limit",
		"#Memory limit", "#Joined after", "#Total", NULL};
	str_puts(h, "<section><h2>Nodes</h2><div class=\"charts\" id=\"nodes\"></div>");
	html_open_table(h, heads);
	size_t k;
	json_t *node;
	json_array_foreach (json_object_get(report, "nodes"), k, node) {
		if (k >= HTML_ROWS)
			break;
		const json_t *facts = json_object_get(node, "facts");
		str_puts(h, "<tr><th scope=\"row\">");
		html_escape(h, json_text(node, "name"));
		if (json_text(node, "role")) {
			str_puts(h, " <small>");
			html_escape(h, json_text(node, "role"));
			str_puts(h, "</small>");
		}
		str_puts(h, "</th><td>");
		html_badge(h, json_text(node, "state"));
		str_puts(h, "</td>");
		html_cell(h, "m", json_text(node, "address"));
		html_cell_take(h, "n", html_count(facts, "cores"));
		html_cell_take(h, "n", html_bytes(facts, "memory"));
		const bool limited = json_has(node, "cpus");
		html_cell_take(h, "n", limited ? mem_printf("%g", json_number(node, "cpus")) : mem_strdup("–"));
		html_cell_take(h, "n", json_has(node, "memory") ? html_bytes(node, "memory") : mem_strdup("–"));
		html_cell_take(h, "n", html_seconds(node, "joined"));
		html_cell_take(h, "n", html_seconds(node, "seconds"));
		str_puts(h, "</tr>\n");
	}
	html_close_table(h, json_count(report, "nodes"));
	str_puts(h, "</section>\n");
}

static char *exit_text(const json_t *rank)
{
	const char *why = json_text(rank, "why");
	autofree char *how = NULL;
	if (json_has(rank, "signal"))
		how = mem_printf("signal %.0f", json_number(rank, "signal"));
	else if (json_has(rank, "status"))
		how = mem_printf("status %.0f", json_number(rank, "status"));
	if (!how)
		return mem_strdup(why ? why : "");
	return why ? mem_printf("%s, %s", how, why) : steal(how);
}

void report_html_sections_ranks(struct str *h, const json_t *report)
{
	static const char *const heads[] = {
		"Rank", "Node", "Role", "State", "Exit", "#Ran for", "#Output", "Last lines", NULL};
	long told = json_whole(json_object_get(report, "failure"), "rank"); // the top of the page shows its last lines
	str_puts(h, "<section><h2>Ranks</h2>");
	html_open_table(h, heads);
	size_t k;
	json_t *rank;
	json_array_foreach (json_object_get(report, "ranks"), k, rank) {
		if (k >= HTML_ROWS)
			break;
		str_printf(h, "<tr><th scope=\"row\">%zu</th>", k);
		html_cell(h, NULL, html_node(report, rank));
		html_cell(h, NULL, json_text(rank, "role"));
		str_puts(h, "<td>");
		html_badge(h, json_text(rank, "state"));
		str_puts(h, "</td>");
		html_cell_take(h, NULL, exit_text(rank));
		html_cell_take(h, "n", html_seconds(rank, "seconds"));
		html_cell_take(h, "n", html_bytes(rank, "bytes"));
		str_puts(h, "<td>");
		if (json_count(rank, "last")) {
			str_printf(h, "<details%s><summary>%zu line%s</summary>",
				json_is(rank, "state", "failed") && (long)k != told ? " open" : "",
				json_count(rank, "last"), json_count(rank, "last") == 1 ? "" : "s");
			html_lines(h, json_object_get(rank, "last"));
			str_puts(h, "</details>");
		}
		str_puts(h, "</td></tr>\n");
	}
	html_close_table(h, json_count(report, "ranks"));
	str_puts(h, "</section>\n");
}

// --- preflight --------------------------------------------------------------

// The last look at each pair of the nodes that are shown.
static void find_pairs(const json_t *report, size_t shown, const json_t *pairs[MATRIX_MAX][MATRIX_MAX])
{
	size_t i, k;
	json_t *event, *row;
	json_array_foreach (json_object_get(report, "preflight"), i, event) {
		size_t from = (size_t)json_whole(event, "node");
		if (from >= shown)
			continue;
		json_array_foreach (json_object_get(event, "rows"), k, row)
			if ((size_t)json_whole(row, "to") < shown)
				pairs[from][json_whole(row, "to")] = row;
	}
}

static void put_pair(struct str *h, const json_t *row)
{
	if (!row) {
		html_cell(h, "n none", "–");
		return;
	}
	if (!json_is_true(json_object_get(row, "ok"))) {
		autofree char *what =
			mem_printf("✗ %s", json_text(row, "why") ? json_text(row, "why") : "cannot be reached");
		html_cell(h, "n bad", what);
		return;
	}
	str_puts(h, "<td class=\"n good\">");
	str_printf(h, "✓ %.2f ms", 1000 * json_number(row, "latency"));
	if (json_has(row, "bandwidth")) {
		autofree char *rate = str_bytes(json_number(row, "bandwidth"));
		str_printf(h, "<br><small>%s/s</small>", rate);
	}
	str_puts(h, "</td>");
}

void report_html_sections_preflight(struct str *h, const json_t *report)
{
	size_t nodes = json_count(report, "nodes");
	if (!json_count(report, "preflight"))
		return;
	str_puts(h, "<section><h2>Preflight</h2><p>Latency from the node of the row to the node of the column.</p>"
		    "<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th></th>");
	size_t shown = nodes < MATRIX_MAX ? nodes : MATRIX_MAX;
	const json_t *pairs[MATRIX_MAX][MATRIX_MAX] = {0};
	find_pairs(report, shown, pairs);
	for (size_t to = 0; to < shown; to++) {
		str_puts(h, "<th scope=\"col\" class=\"n\">");
		html_escape(h, json_text(json_array_get(json_object_get(report, "nodes"), to), "name"));
		str_puts(h, "</th>");
	}
	str_puts(h, "</tr></thead><tbody>\n");
	for (size_t from = 0; from < shown; from++) {
		str_puts(h, "<tr><th scope=\"row\">");
		html_escape(h, json_text(json_array_get(json_object_get(report, "nodes"), from), "name"));
		str_puts(h, "</th>");
		for (size_t to = 0; to < shown; to++)
			put_pair(h, pairs[from][to]);
		str_puts(h, "</tr>\n");
	}
	str_puts(h, "</tbody></table></div>");
	if (nodes > shown)
		str_printf(h, "<p class=\"more\">The first %zu of %zu nodes; all pairs are in report.json.</p>", shown,
			nodes);
	str_puts(h, "</section>\n");
}

// --- files ------------------------------------------------------------------

// A wrong one says why; a right one needs no words.
static void cell_ok(struct str *h, const json_t *item)
{
	str_puts(h, "<td>");
	html_badge(h, json_is_false(json_object_get(item, "ok")) ? "failed" : "ok");
	if (json_text(item, "why")) {
		str_puts(h, " ");
		html_escape(h, json_text(item, "why"));
	}
	str_puts(h, "</td>");
}

static void put_inputs(struct str *h, const json_t *report)
{
	static const char *const heads[] = {
		"Input", "Node", "From", "#Size", "#Took", "SHA-256 or commit", "State", NULL};
	const json_t *inputs = json_object_get(report, "inputs");
	size_t k;
	json_t *item;
	if (!json_array_size(inputs))
		return;
	str_puts(h, "<section><h2>Inputs</h2>");
	html_open_table(h, heads);
	json_array_foreach (inputs, k, item) {
		if (k >= HTML_ROWS)
			break;
		const char *commit = json_text(item, "commit"), *sum = commit ? commit : json_text(item, "sha256");
		str_puts(h, "<tr><th scope=\"row\">");
		html_escape(h, json_text(item, "name"));
		str_puts(h, "</th>");
		html_cell(h, NULL, html_node(report, item));
		html_cell(h, "m", json_text(item, "from"));
		html_cell_take(h, "n", html_bytes(item, "bytes"));
		html_cell_take(h, "n", html_seconds(item, "seconds"));
		str_puts(h, "<td class=\"m\" title=\"");
		html_escape(h, sum);
		str_puts(h, "\">");
		autofree char *begin = mem_strndup(sum ? sum : "", 12);
		html_escape(h, begin);
		str_puts(h, strlen(begin) == 12 ? "…</td>" : "</td>");
		cell_ok(h, item);
		str_puts(h, "</tr>\n");
	}
	html_close_table(h, json_array_size(inputs));
	str_puts(h, "</section>\n");
}

static void put_setup(struct str *h, const json_t *report)
{
	static const char *const heads[] = {"Step", "Node", "Command", "Exit", "#Took", "Last lines", NULL};
	const json_t *steps = json_object_get(report, "setup");
	size_t k;
	json_t *item;
	if (!json_array_size(steps))
		return;
	str_puts(h, "<section><h2>Setup</h2>");
	html_open_table(h, heads);
	json_array_foreach (steps, k, item) {
		if (k >= HTML_ROWS)
			break;
		str_printf(h, "<tr><th scope=\"row\">%.0f</th>", json_number(item, "step"));
		html_cell(h, NULL, html_node(report, item));
		html_cell(h, "m", json_text(item, "name"));
		bool ok = json_has(item, "status") && json_number(item, "status") == 0;
		str_puts(h, "<td>");
		html_badge(h, ok ? "ok" : "failed");
		if (!ok)
			str_printf(h, " status %.0f", json_number(item, "status"));
		str_puts(h, "</td>");
		html_cell_take(h, "n", html_seconds(item, "seconds"));
		str_puts(h, "<td>");
		if (json_has(item, "skipped")) {
			str_puts(h, "skipped: ");
			html_escape(h, json_text(item, "skipped"));
		}
		if (json_count(item, "last")) {
			str_printf(h, "<details%s><summary>%zu line%s</summary>", ok ? "" : " open",
				json_count(item, "last"), json_count(item, "last") == 1 ? "" : "s");
			html_lines(h, json_object_get(item, "last"));
			str_puts(h, "</details>");
		}
		str_puts(h, "</td></tr>\n");
	}
	html_close_table(h, json_array_size(steps));
	str_puts(h, "</section>\n");
}

static void put_output(struct str *h, const json_t *report, const json_t *item)
{
	str_puts(h, "<tr><th scope=\"row\" class=\"m\">");
	html_escape(h, json_text(item, "path"));
	if (json_has(item, "link")) {
		str_puts(h, " \xe2\x86\x92 ");
		html_escape(h, json_text(item, "link"));
	}
	str_puts(h, "</th>");
	html_cell(h, NULL, html_node(report, item));
	html_cell_take(h, "n", html_bytes(item, "bytes"));
	cell_ok(h, item);
	str_puts(h, "</tr>\n");
}

static void put_outputs(struct str *h, const json_t *report)
{
	static const char *const heads[] = {"Output", "Node", "#Size", "State", NULL};
	static const char *const lists[] = {"lost_outputs", "outputs"};
	const json_t *total = json_object_get(report, "outputs_total");
	double files = json_number(total, "files"), lost = json_number(total, "lost");
	size_t i, k, rows = 0;
	json_t *item;
	if (files + lost <= 0)
		return;
	str_puts(h, "<section><h2>Outputs</h2>");
	// A long list is there, but does not stand in the way.
	str_printf(h, "<details%s><summary>%.0f files", files <= 12 || lost > 0 ? " open" : "", files);
	if (lost > 0)
		str_printf(h, ", %.0f not brought back", lost);
	str_puts(h, "</summary>");
	html_open_table(h, heads);
	for (i = 0; i < countof(lists); i++)
		json_array_foreach (json_object_get(report, lists[i]), k, item)
			if (rows++ < HTML_ROWS)
				put_output(h, report, item);
	html_close_table(h, rows);
	if (files + lost > (double)rows)
		str_printf(h, "<p class=\"more\">All %.0f are in events.jsonl.</p>\n", files + lost);
	str_puts(h, "</details></section>\n");
}

void report_html_sections_files(struct str *h, const json_t *report)
{
	put_inputs(h, report);
	put_setup(h, report);
	put_outputs(h, report);
}

// --- trouble ----------------------------------------------------------------

static void put_notes(struct str *h, const json_t *report, const char *name, const char *title)
{
	static const char *const heads[] = {"#After", "Who", "What", NULL};
	const json_t *notes = json_object_get(report, name);
	size_t k;
	json_t *item;
	if (!json_array_size(notes))
		return;
	str_printf(h, "<section><h2>%s</h2>", title);
	html_open_table(h, heads);
	json_array_foreach (notes, k, item) {
		if (k >= HTML_ROWS)
			break;
		str_puts(h, "<tr>");
		html_cell_take(h, "n", html_seconds(item, "t"));
		str_puts(h, "<td>");
		html_escape(h, json_text(item, "peer") ? json_text(item, "peer") : html_node(report, item));
		if (json_has(item, "rank"))
			str_printf(h, " rank %.0f", json_number(item, "rank"));
		if (json_has(item, "attempt"))
			str_printf(h, "attempt %.0f", json_number(item, "attempt"));
		if (json_has(item, "signal"))
			str_printf(h, "signal %.0f", json_number(item, "signal"));
		str_puts(h, "</td>");
		html_cell(h, NULL, json_text(item, "why"));
		str_puts(h, "</tr>\n");
	}
	html_close_table(h, json_array_size(notes));
	str_puts(h, "</section>\n");
}

static void put_receipt(struct str *h, const json_t *report)
{
	static const char *const heads[] = {"What", "Id", "More", NULL};
	const json_t *receipt = json_object_get(report, "receipt"), *left = json_object_get(receipt, "left");
	size_t k;
	json_t *item;
	if (!json_is_object(receipt))
		return;
	str_puts(h, "<section><h2>Receipt</h2>");
	if (!json_array_size(left)) {
		str_puts(h, "<p>");
		html_badge(h, "ok");
		str_puts(h, " After teardown the executor reports what is left: "
			    "nothing.</p></section>\n");
		return;
	}
	str_puts(h, "<p>After teardown the executor still found:</p>");
	html_open_table(h, heads);
	json_array_foreach (left, k, item) {
		if (k >= HTML_ROWS)
			break;
		autojson json_t *rest = json_copy(item);
		json_object_del(rest, "what");
		json_object_del(rest, "id");
		autofree char *more = json_object_size(rest) ? json_dumps(rest, JSON_COMPACT) : NULL;
		const json_t *id = json_object_get(item, "id");
		autofree char *shown = json_is_string(id) ? mem_strdup(json_string_value(id))
				       : id               ? json_dumps(id, JSON_ENCODE_ANY)
							  : NULL;
		str_puts(h, "<tr>");
		html_cell(h, NULL, json_text(item, "what"));
		html_cell(h, "m", shown);
		html_cell(h, "m", more);
		str_puts(h, "</tr>\n");
	}
	html_close_table(h, json_array_size(left));
	str_puts(h, "</section>\n");
}

void report_html_sections_trouble(struct str *h, const json_t *report)
{
	put_notes(h, report, "warnings", "Warnings");
	put_notes(h, report, "retries", "Retries");
	put_notes(h, report, "signals", "Signals sent to the ranks");
	put_notes(h, report, "refused", "Refused connections");
	put_receipt(h, report);
}
