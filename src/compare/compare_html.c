#include "compare/compare_html.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "compare/compare_table.h"
#include "compare/plot.h"
#include "job/prices.h"
#include "report/html.h"
#include "report/page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double part(const json_t *row, const char *name, size_t i)
{
	const json_t *value = json_object_get(row, name);
	if (json_is_array(value))
		value = json_array_get(value, i);
	return json_is_number(value) ? json_number_value(value) : NAN;
}

static enum plot_mark mark_of(const json_t *row)
{
	return json_is(row, "kind", "modelled")    ? PLOT_MODELLED
	       : json_is(row, "kind", "predicted") ? PLOT_PREDICTED
						   : PLOT_MEASURED;
}

static struct plot_point point_of(const json_t *rows, size_t i)
{
	const json_t *row = json_array_get(rows, i);
	return (struct plot_point){.label = json_text(row, "name"),
		.number = (int)i + 1,
		.mark = mark_of(row),
		.x = NAN,
		.x_low = NAN,
		.x_high = NAN,
		.y = NAN,
		.y_low = NAN,
		.y_high = NAN,
		.box_low = NAN,
		.box_high = NAN,
		.group = -1};
}

static void set_x(struct plot_point *p, const json_t *row, const char *name)
{
	p->x = part(row, name, 0);
	p->x_low = part(row, name, 1);
	p->x_high = part(row, name, 2);
}

// --- the plots ------------------------------------------------------------------

static char *number_text(double value)
{
	return isnan(value) ? mem_strdup("") : mem_printf("%.4g", value);
}

static char *money_text(double value)
{
	return isnan(value) ? mem_strdup("") : prices_text(value);
}

static void put_ranges(struct str *h, const json_t *rows, struct plot_point *points, const char *member,
	const char *title, const char *unit, char *(*text)(double))
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		points[i] = point_of(rows, i);
		set_x(&points[i], json_array_get(rows, i), member);
	}
	plot_ranges(h, title,
		"Lines are 95 % intervals. Disc: measured; ring: predicted from the first iterations; diamond: from "
		"the model.",
		unit, text, points, json_array_size(rows));
}

static void put_turns(struct str *h, const json_t *rows, struct plot_point *points)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		points[i] = point_of(rows, i);
		points[i].x = part(row, "spread", 2);
		points[i].x_low = part(row, "spread", 0);
		points[i].x_high = part(row, "spread", 4);
		points[i].box_low = part(row, "spread", 1);
		points[i].box_high = part(row, "spread", 3);
	}
	plot_ranges(h, "Time of an iteration",
		"The median, the middle half (box), and the shortest and longest that were seen (line).", "s",
		number_text, points, json_array_size(rows));
}

// The clusters of one kind, which differ in nodes alone, are joined.
static int group_of(const json_t *row)
{
	return json_has(row, "kind_of") ? (int)json_number(row, "kind_of") : -1;
}

static void put_speedup(struct str *h, const json_t *rows, struct plot_point *points)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		points[i] = point_of(rows, i);
		points[i].x = part(row, "share", 0);
		points[i].y = part(row, "speedup", 0);
		points[i].group = group_of(row);
	}
	plot_plane(h, "Speed-up",
		"Against the smallest cluster; numbers as in the lists. The dashed line is ideal: twice the cluster, "
		"half the time.",
		"size of the cluster, in smallest ones", "speed-up", true, points, json_array_size(rows));
}

static int by_time(const void *a, const void *b)
{
	const struct plot_point *x = a, *y = b;
	return (x->x > y->x) - (x->x < y->x);
}

static void put_front(struct str *h, const json_t *tree, const json_t *rows, struct plot_point *points)
{
	const char *currency = json_text(tree, "currency");
	size_t n = 0;
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		if (isnan(part(row, "cost", 0) + part(row, "seconds", 0)))
			continue;
		struct plot_point *p = &points[n++];
		*p = point_of(rows, i);
		set_x(p, row, "seconds");
		p->y = part(row, "cost", 0);
		p->y_low = part(row, "cost", 1);
		p->y_high = part(row, "cost", 2);
		p->group = json_is_true(json_object_get(row, "front")) ? 0 : -1;
	}
	qsort(points, n, sizeof *points, by_time);
	autofree char *y = mem_printf("cost%s%s", currency ? ", " : "", currency ? currency : "");
	plot_plane(h, "Time and cost",
		"Numbers as in the lists. The line joins the clusters that no other beats in both time and cost.",
		"time of the whole run, s", y, false, points, n);
}

// --- tables ---------------------------------------------------------------------

// The value, and below it where it lies.
static void put_range(struct str *h, const json_t *row, const char *name, char *(*text)(double))
{
	autofree char *value = text(part(row, name, 0)), *low = text(part(row, name, 1)),
		      *high = text(part(row, name, 2));
	str_printf(h, "<td class=\"n\">%s", value);
	if (*low && strcmp(low, high) != 0)
		str_printf(h, "<br><small>%s to %s</small>", low, high);
	str_puts(h, "</td>");
}

static void put_row(struct str *h, const json_t *row, size_t number)
{
	static const char *const numbers[] = {"rate", "speedup"}, *const times[] = {"init", "overhead"};
	double efficiency = part(row, "efficiency", 0);
	str_puts(h, "<tr>");
	html_cell_take(h, "n", mem_printf("%zu", number));
	html_cell(h, NULL, json_text(row, "name"));
	html_cell_take(h, "n", number_text(part(row, "nodes", 0)));
	html_cell_take(h, "n", mem_printf("%zu", json_count(row, "runs")));
	html_cell(h, NULL, json_text(row, "kind"));
	put_range(h, row, "seconds", number_text);
	put_range(h, row, "cost", money_text);
	for (size_t k = 0; k < countof(numbers); k++)
		html_cell_take(h, "n", number_text(part(row, numbers[k], 0)));
	html_cell_take(h, "n", isnan(efficiency) ? mem_strdup("") : mem_printf("%.0f %%", 100 * efficiency));
	for (size_t k = 0; k < countof(times); k++)
		html_cell_take(h, "n", number_text(part(row, times[k], 0)));
	str_puts(h, "</tr>\n");
}

static void put_table(struct str *h, const json_t *tree, const json_t *rows)
{
	const char *rate = json_is(tree, "unit", "samples") ? "#Samples/s" : "#Iterations/s";
	const char *const heads[] = {"", "Cluster", "#Nodes", "#Runs", "Time is", "#Time, s", "#Cost", rate,
		"#Speed-up", "#Efficiency", "#Init, s", "#Up, down, s", NULL};
	size_t i;
	const json_t *row;
	str_puts(h, "<section><h2>Clusters</h2>");
	html_open_table(h, heads);
	json_array_foreach (rows, i, row)
		put_row(h, row, i + 1);
	html_close_table(h, 0);
	str_puts(h, "<p class=\"note\">Speed-up and efficiency are against the smallest cluster. Init is what the "
		    "program does before its first iteration; up and down is "
		    "what the cluster takes besides the program. The cost is of all of it.</p></section>\n");
}

static void put_models(struct str *h, const json_t *tree)
{
	const json_t *models = json_object_get(tree, "models"), *model;
	size_t i;
	if (!json_array_size(models))
		return;
	str_puts(h, "<section><h2>Model of the time by the number of nodes</h2>");
	json_array_foreach (models, i, model) {
		autofree char *formula = compare_table_formula(model);
		str_puts(h, "<p><b>");
		html_escape(h, json_text(model, "name"));
		str_puts(h, "</b>: ");
		html_escape(h, formula);
		str_puts(h, "</p>");
	}
	str_puts(h, "</section>\n");
}

static void put_pairs(struct str *h, const json_t *tree, const json_t *rows)
{
	static const char *const heads[] = {"Cluster", "against", "#Ratio of times", "Verdict", NULL};
	size_t i;
	const json_t *pair, *pairs = json_object_get(tree, "pairs");
	if (!json_array_size(pairs))
		return;
	str_puts(h, "<section><h2>Pairs of clusters</h2>");
	html_open_table(h, heads);
	json_array_foreach (pairs, i, pair) {
		if (i >= HTML_ROWS)
			break;
		str_puts(h, "<tr>");
		html_cell(h, NULL, json_text(json_array_get(rows, (size_t)json_number(pair, "a")), "name"));
		html_cell(h, NULL, json_text(json_array_get(rows, (size_t)json_number(pair, "b")), "name"));
		put_range(h, pair, "ratio", number_text);
		html_cell(h, NULL, json_text(pair, "verdict"));
		str_puts(h, "</tr>\n");
	}
	html_close_table(h, 0);
	if (json_array_size(pairs) > HTML_ROWS)
		str_printf(
			h, "<p class=\"more\">%zu more are in the JSON below.</p>", json_array_size(pairs) - HTML_ROWS);
	str_puts(h, "</section>\n");
}

static void put_notes(struct str *h, const json_t *tree)
{
	autofree char *notes = compare_table_notes(tree);
	if (!*notes)
		return;
	str_puts(h, "<section><h2>Notes</h2>");
	for (const char *line = notes; *line;) {
		size_t len = strcspn(line, "\n");
		autofree char *text = mem_strndup(line, len);
		str_puts(h, "<p class=\"note\">");
		html_escape(h, text);
		str_puts(h, "</p>");
		line += len + (line[len] == '\n');
	}
	str_puts(h, "</section>\n");
}

// --- the page -------------------------------------------------------------------

char *compare_html_html(const json_t *tree)
{
	struct str h = {0};
	const json_t *rows = json_object_get(tree, "rows");
	autofree struct plot_point *points = mem_alloc((json_array_size(rows) + 1) * sizeof *points);
	const char *currency = json_text(tree, "currency"), *as_of = json_text(tree, "as_of");
	str_puts(&h, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
		     "'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
		     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta "
		     "name=\"color-scheme\" content=\"light dark\">\n<title>");
	html_escape(&h, json_text(tree, "name"));
	str_printf(&h,
		": clusters compared</title>\n<style>\n%s%s</style></head>\n<body>\n<header><div class=\"wrap\"><div "
		"class=\"title\"><h1>",
		style_css, plot_style);
	html_escape(&h, json_text(tree, "name"));
	str_printf(&h, "</h1></div><p class=\"sub\">%zu clusters compared", json_array_size(rows));
	if (currency || as_of) {
		str_puts(&h, "; prices in ");
		html_escape(&h, currency ? currency : "an unnamed currency");
		str_puts(&h, as_of ? " as of " : "");
		html_escape(&h, as_of);
	}
	str_puts(&h, "</p></div></header>\n<main class=\"wrap\">\n");
	put_notes(&h, tree);
	put_ranges(&h, rows, points, "seconds", "Time of the whole run", "s", number_text);
	put_ranges(&h, rows, points, "cost", "Cost of the whole run", currency ? currency : "", money_text);
	str_puts(&h, "<div class=\"planes\">");
	put_speedup(&h, rows, points);
	put_front(&h, tree, rows, points);
	str_puts(&h, "</div>\n");
	put_turns(&h, rows, points);
	put_table(&h, tree, rows);
	put_pairs(&h, tree, rows);
	put_models(&h, tree);
	str_puts(&h, "<details><summary>The numbers as JSON</summary><script type=\"application/json\" id=\"data\">");
	html_json(&h, tree);
	str_puts(&h, "</script><p class=\"note\">They are in this page's source, in the element with the id data; "
		     "`muster compare --json` prints them.</p></details>\n"
		     "</main>\n<footer class=\"wrap\">Made by muster " MUSTER_VERSION
		     ". This page needs no network.</footer>\n</body></html>\n");
	return str_steal(&h);
}
