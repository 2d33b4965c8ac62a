#include "compare/table.h"

#include "base/fs.h"
#include "base/grid.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/tree.h"
#include "compare/leaflet.h"
#include "job/prices.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS_MAX = 30 };

static double part(const json_t *row, const char *name, size_t i)
{
	const json_t *value = json_object_get(row, name);
	if (json_is_array(value))
		value = json_array_get(value, i);
	return json_is_number(value) ? json_number_value(value) : NAN;
}

static char *number(double value)
{
	return isnan(value) ? mem_strdup("") : mem_printf("%.4g", value);
}

static char *seconds_text(double value)
{
	return isnan(value)               ? mem_strdup("")
	       : value >= 1 && value < 60 ? mem_printf("%.4g s", value)
					  : str_seconds(value);
}

// "1 min 32 s +-1.2 %".
static char *range_text(const json_t *row, const char *name, char *(*text)(double))
{
	double value = part(row, name, 0), half = 100 * (part(row, name, 2) - part(row, name, 1)) / 2 / value;
	autofree char *shown = isnan(value) ? mem_strdup("") : text(value);
	return isnan(half) || half <= 0 ? mem_strdup(shown)
	       : half > 999             ? mem_printf("%s +->999 %%", shown)
					: mem_printf("%s +-%.*f %%", shown, half < 10, half);
}

static void add_row(struct grid *g, const json_t *row)
{
	double off = part(json_object_get(row, "expected"), "off", 0);
	grid_add(g, tree_text(row, "name"));
	grid_take(g, tree_number(row, "nodes") > 0 ? mem_printf("%.0f", tree_number(row, "nodes")) : mem_strdup(""));
	grid_take(g, mem_printf("%zu", tree_count(row, "runs")));
	grid_add(g, tree_text(row, "kind"));
	grid_take(g, range_text(row, "seconds", seconds_text));
	grid_take(g, number(part(row, "rate", 0)));
	grid_take(g, number(part(row, "speedup", 0)));
	grid_take(g, isnan(part(row, "efficiency", 0)) ? mem_strdup("")
						       : mem_printf("%.0f %%", 100 * part(row, "efficiency", 0)));
	grid_take(g, seconds_text(part(row, "init", 0)));
	grid_take(g, seconds_text(part(row, "overhead", 0)));
	grid_take(g, range_text(row, "cost", prices_text));
	grid_take(g, isnan(off) ? mem_strdup("") : mem_printf("%+.1f %%", 100 * off));
}

char *table_formula(const json_t *model)
{
	static const char *const names[] = {"serial", "parallel", "talk"}, *const forms[] = {"%s%.3g s",
										   "%s%.3g s / nodes",
										   "%s%.3g s * (nodes - 1)"};
	struct str s = {0};
	for (size_t i = 0; i < countof(names); i++)
		if (tree_number(model, names[i]) > 0)
			str_printf(&s, forms[i], s.len ? " + " : "", tree_number(model, names[i]));
	str_printf(&s, ", from %.0f numbers of nodes, ", tree_number(model, "points"));
	if (tree_has(model, "error"))
		str_printf(&s, "at most %.2g %% off them", 100 * tree_number(model, "error"));
	else
		str_puts(&s, "through all of them: how far off it is between and beyond is not known");
	return str_steal(&s);
}

static void add_pairs(struct str *out, const json_t *tree)
{
	const json_t *item, *rows = json_object_get(tree, "rows"), *pairs = json_object_get(tree, "pairs");
	size_t i;
	json_array_foreach (pairs, i, item) {
		if (i == PAIRS_MAX) {
			str_printf(out, "... and %zu pairs more: --html and --json have them all\n",
				json_array_size(pairs) - i);
			return;
		}
		str_printf(out, "%s%s against %s: %s\n", i ? "" : "\n",
			tree_text(json_array_get(rows, (size_t)tree_number(item, "a")), "name"),
			tree_text(json_array_get(rows, (size_t)tree_number(item, "b")), "name"),
			tree_text(item, "verdict"));
	}
}

static void add_models(struct str *out, const json_t *tree)
{
	size_t i;
	const json_t *item;
	json_array_foreach (json_object_get(tree, "models"), i, item) {
		autofree char *formula = table_formula(item);
		str_printf(out, "%smodel of %s: %s\n", i ? "" : "\n", tree_text(item, "name"), formula);
	}
}

static void add_expected(struct str *out, const json_t *row)
{
	const json_t *e = json_object_get(row, "expected");
	double off = part(e, "off", 0);
	if (!tree_has(e, "time"))
		return;
	autofree char *time = seconds_text(part(e, "time", 0)), *low = seconds_text(part(e, "low", 0)),
		      *high = seconds_text(part(e, "high", 0)), *is = seconds_text(part(row, "seconds", 0));
	str_printf(out, "%s: foretold %s (%s to %s)", tree_text(row, "name"), time, low, high);
	if (isnan(off))
		str_puts(out, "; it did not come to its end");
	else
		str_printf(out, ", took %s: %.1f %% %s%s", is, fabs(100 * off), off < 0 ? "less" : "more",
			!tree_has(e, "held")                       ? ""
			: json_is_true(json_object_get(e, "held")) ? ", within the interval"
								   : ", outside the interval");
	autofree char *said = tree_has(e, "cost") ? prices_text(part(e, "cost", 0)) : NULL;
	autofree char *cost = isnan(part(row, "cost", 0)) ? NULL : prices_text(part(row, "cost", 0));
	if (said && cost && !isnan(off))
		str_printf(out, "; cost %s, was to be %s", cost, said);
	str_puts(out, "\n");
}

static bool has_doubt(const json_t *row, const json_t *doubt)
{
	size_t i;
	const json_t *other;
	json_array_foreach (json_object_get(row, "doubts"), i, other)
		if (json_equal(other, doubt))
			return true;
	return false;
}

// A doubt once, with those that have it.
static void add_doubt(struct str *out, const json_t *rows, size_t first, const json_t *doubt)
{
	size_t i, n = 0, timed = 0;
	const json_t *row;
	json_array_foreach (rows, i, row) {
		if (i < first && has_doubt(row, doubt))
			return;
		n += has_doubt(row, doubt);
		timed += tree_is(row, "kind", "predicted");
	}
	if (n > 1 && n == timed)
		str_puts(out, "all that are predicted");
	else
		json_array_foreach (rows, i, row)
			if (has_doubt(row, doubt))
				str_printf(out, "%s%s", i > first ? "; " : "", tree_text(row, "name"));
	str_printf(out, ": trust it less: %s\n", json_string_value(doubt));
}

static void add_failures(struct str *out, const json_t *row)
{
	size_t i;
	const json_t *item;
	json_array_foreach (json_object_get(row, "failures"), i, item) {
		const char *outcome = tree_text(item, "outcome"), *why = tree_text(item, "why");
		bool more = why && strcmp(why, outcome) != 0;
		str_printf(out, "%s: %s%s%s%s%s\n", tree_text(row, "name"),
			tree_has(item, "run") ? tree_text(item, "run") : "", tree_has(item, "run") ? ": " : "", outcome,
			more ? ": " : "", more ? why : "");
	}
}

// A misspelt executor in the prices is a cost that is left out; it shall not be so silently.
static void add_unpriced(struct str *out, const json_t *tree)
{
	size_t i, n = 0;
	const json_t *row;
	json_array_foreach (json_object_get(tree, "rows"), i, row) {
		if (!tree_has(tree, "prices") || !tree_has(row, "seconds") || tree_has(row, "cost"))
			continue;
		const char *executor = tree_text(row, "executor"), *type = tree_text(row, "type");
		if (!n++)
			str_printf(out, "%s says no price for %s%s%s: its cost is left out\n",
				tree_text(tree, "prices"), executor ? executor : "it", type ? " " : "",
				type ? type : "");
	}
}

char *table_notes(const json_t *tree)
{
	struct str out = {0};
	size_t i, k;
	const json_t *row, *doubt, *rows = json_object_get(tree, "rows");
	str_puts(&out, "");
	add_unpriced(&out, tree);
	json_array_foreach (rows, i, row) {
		add_expected(&out, row);
		json_array_foreach (json_object_get(row, "doubts"), k, doubt)
			add_doubt(&out, rows, i, doubt);
		add_failures(&out, row);
	}
	return str_steal(&out);
}

char *table_text(const json_t *tree)
{
	const char *currency = tree_text(tree, "currency");
	autofree char *rate = mem_printf("#%s/S", tree_is(tree, "unit", "samples") ? "SAMPLES" : "ITERATIONS"),
		      *cost = mem_printf("#COST%s%s", currency ? " " : "", currency ? currency : "");
	const char *const heads[] = {"CLUSTER", "#NODES", "#RUNS", "TIME IS", "#TIME", rate, "#SPEED-UP", "#EFFICIENCY",
		"#INIT", "#UP AND DOWN", cost, "#AGAINST EXPECTED", NULL};
	struct grid g = {.heads = heads};
	struct str out = {0};
	size_t i;
	const json_t *row;
	json_array_foreach (json_object_get(tree, "rows"), i, row)
		add_row(&g, row);
	grid_print(&g, &out, "");
	add_pairs(&out, tree);
	add_models(&out, tree);
	autofree char *notes = table_notes(tree);
	str_printf(&out, "%s%s", *notes ? "\n" : "", notes);
	return str_steal(&out);
}

static void add_csv(struct str *out, const char *text)
{
	str_puts(out, "\"");
	for (; text && *text; text++)
		str_add(out, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
	str_puts(out, "\"");
}

char *table_csv(const json_t *tree)
{
	static const char *const numbers[] = {"nodes", "cpus", "memory", "size", "failed", "mean", "rate", "init",
		"overhead", "speedup", "efficiency"};
	static const char *const ranges[] = {"seconds", "turn", "cost"};
	struct str out = {0};
	str_puts(&out, "name,kind,runs");
	for (size_t k = 0; k < countof(numbers); k++)
		str_printf(&out, ",%s", numbers[k]);
	for (size_t k = 0; k < countof(ranges); k++)
		str_printf(&out, ",%s,%s_low,%s_high", ranges[k], ranges[k], ranges[k]);
	str_puts(&out, "\n");
	size_t i;
	const json_t *row;
	json_array_foreach (json_object_get(tree, "rows"), i, row) {
		add_csv(&out, tree_text(row, "name"));
		str_printf(&out, ",%s,%zu", tree_text(row, "kind"), tree_count(row, "runs"));
		for (size_t k = 0; k < countof(numbers) + 3 * countof(ranges); k++) {
			size_t r = k - countof(numbers);
			double value =
				k < countof(numbers) ? part(row, numbers[k], 0) : part(row, ranges[r / 3], r % 3);
			autofree char *text = isnan(value) ? mem_strdup("") : mem_printf("%.9g", value);
			str_printf(&out, ",%s", text);
		}
		str_puts(&out, "\n");
	}
	return str_steal(&out);
}

char *table_json(const json_t *tree)
{
	autofree char *text = json_dumps(tree, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	return mem_printf("%s\n", text);
}

char *table_times(const json_t *tree)
{
	struct str out = {0};
	size_t i;
	const json_t *row;
	str_puts(&out, "");
	json_array_foreach (json_object_get(tree, "rows"), i, row)
		if (!isnan(part(row, "mean", 0)))
			str_printf(&out, "%s: %.3f\n", tree_text(row, "name"), part(row, "mean", 0));
	return str_steal(&out);
}

// --- files ----------------------------------------------------------------------

static int write_file(const char *dir, const char *name, const char *text, struct error *err)
{
	autofree char *path = fs_join(dir, name);
	return fs_write(path, text, strlen(text), 0644, err);
}

int table_write(const json_t *tree, const char *dir, struct error *err)
{
	autofree char *json = table_json(tree), *csv = table_csv(tree), *times = table_times(tree),
		      *page = leaflet_html(tree);
	if (write_file(dir, "compare.json", json, err) < 0 || write_file(dir, "compare.csv", csv, err) < 0 ||
		write_file(dir, "times.txt", times, err) < 0)
		return -1;
	return write_file(dir, "compare.html", page, err);
}
