#include "compare/compare_table.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/text_table.h"
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

static void add_row(struct text_table *g, const json_t *row)
{
	double off = part(json_object_get(row, "expected"), "off", 0);
	text_table_add(g, json_text(row, "name"));
	text_table_take(
		g, json_number(row, "nodes") > 0 ? mem_printf("%.0f", json_number(row, "nodes")) : mem_strdup(""));
	text_table_take(g, mem_printf("%zu", json_count(row, "runs")));
	text_table_add(g, json_text(row, "kind"));
	text_table_take(g, range_text(row, "seconds", seconds_text));
	text_table_take(g, number(part(row, "rate", 0)));
	text_table_take(g, number(part(row, "speedup", 0)));
	text_table_take(g, isnan(part(row, "efficiency", 0)) ? mem_strdup("")
							     : mem_printf("%.0f %%", 100 * part(row, "efficiency", 0)));
	text_table_take(g, seconds_text(part(row, "init", 0)));
	text_table_take(g, seconds_text(part(row, "overhead", 0)));
	text_table_take(g, range_text(row, "cost", prices_text));
	text_table_take(g, isnan(off) ? mem_strdup("") : mem_printf("%+.1f %%", 100 * off));
}

char *compare_table_formula(const json_t *model)
{
	static const char *const names[] = {"serial", "parallel", "talk"}, *const forms[] = {"%s%.3g s",
										   "%s%.3g s / nodes",
										   "%s%.3g s * (nodes - 1)"};
	struct str s = {0};
	for (size_t i = 0; i < countof(names); i++)
		if (json_number(model, names[i]) > 0)
			str_printf(&s, forms[i], s.len ? " + " : "", json_number(model, names[i]));
	str_printf(&s, ", fitted to %.0f node counts, ", json_number(model, "points"));
	if (json_has(model, "error"))
		str_printf(&s, "error at most %.2g %%", 100 * json_number(model, "error"));
	else
		str_puts(&s, "exact at these points, its error elsewhere is unknown");
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
			json_text(json_array_get(rows, (size_t)json_number(item, "a")), "name"),
			json_text(json_array_get(rows, (size_t)json_number(item, "b")), "name"),
			json_text(item, "verdict"));
	}
}

static void add_models(struct str *out, const json_t *tree)
{
	size_t i;
	const json_t *item;
	json_array_foreach (json_object_get(tree, "models"), i, item) {
		autofree char *formula = compare_table_formula(item);
		str_printf(out, "%smodel of %s: %s\n", i ? "" : "\n", json_text(item, "name"), formula);
	}
}

static void add_expected(struct str *out, const json_t *row)
{
	const json_t *e = json_object_get(row, "expected");
	double off = part(e, "off", 0);
	if (!json_has(e, "time"))
		return;
	autofree char *time = seconds_text(part(e, "time", 0)), *low = seconds_text(part(e, "low", 0)),
		      *high = seconds_text(part(e, "high", 0)), *is = seconds_text(part(row, "seconds", 0));
	str_printf(out, "%s: predicted %s (%s to %s)", json_text(row, "name"), time, low, high);
	if (isnan(off))
		str_puts(out, "; the run did not finish");
	else
		str_printf(out, ", took %s: %.1f %% %s%s", is, fabs(100 * off), off < 0 ? "less" : "more",
			!json_has(e, "held")                       ? ""
			: json_is_true(json_object_get(e, "held")) ? ", within the interval"
								   : ", outside the interval");
	autofree char *said = json_has(e, "cost") ? prices_text(part(e, "cost", 0)) : NULL;
	autofree char *cost = isnan(part(row, "cost", 0)) ? NULL : prices_text(part(row, "cost", 0));
	if (said && cost && !isnan(off))
		str_printf(out, "; cost %s, predicted %s", cost, said);
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
		timed += json_is(row, "kind", "predicted");
	}
	if (n > 1 && n == timed)
		str_puts(out, "all predictions");
	else
		json_array_foreach (rows, i, row)
			if (has_doubt(row, doubt))
				str_printf(out, "%s%s", i > first ? "; " : "", json_text(row, "name"));
	str_printf(out, ": less reliable: %s\n", json_string_value(doubt));
}

static void add_failures(struct str *out, const json_t *row)
{
	size_t i;
	const json_t *item;
	json_array_foreach (json_object_get(row, "failures"), i, item) {
		const char *outcome = json_text(item, "outcome"), *why = json_text(item, "why");
		bool more = why && strcmp(why, outcome) != 0;
		str_printf(out, "%s: %s%s%s%s%s\n", json_text(row, "name"),
			json_has(item, "run") ? json_text(item, "run") : "", json_has(item, "run") ? ": " : "", outcome,
			more ? ": " : "", more ? why : "");
	}
}

// A misspelt executor in the prices is a cost that is left out; it shall not be so silently.
static void add_unpriced(struct str *out, const json_t *tree)
{
	size_t i, n = 0;
	const json_t *row;
	json_array_foreach (json_object_get(tree, "rows"), i, row) {
		if (!json_has(tree, "prices") || !json_has(row, "seconds") || json_has(row, "cost"))
			continue;
		const char *executor = json_text(row, "executor"), *type = json_text(row, "type");
		if (!n++)
			str_printf(out, "%s has no price for %s%s%s: its cost is omitted\n", json_text(tree, "prices"),
				executor ? executor : "it", type ? " " : "", type ? type : "");
	}
}

char *compare_table_notes(const json_t *tree)
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

char *compare_table_text(const json_t *tree)
{
	const char *currency = json_text(tree, "currency");
	autofree char *rate = mem_printf("#%s/S", json_is(tree, "unit", "samples") ? "SAMPLES" : "ITERATIONS"),
		      *cost = mem_printf("#COST%s%s", currency ? " " : "", currency ? currency : "");
	const char *const heads[] = {"CLUSTER", "#NODES", "#RUNS", "TIME IS", "#TIME", rate, "#SPEED-UP", "#EFFICIENCY",
		"#INIT", "#UP AND DOWN", cost, "#AGAINST EXPECTED", NULL};
	struct text_table g = {.heads = heads};
	struct str out = {0};
	size_t i;
	const json_t *row;
	json_array_foreach (json_object_get(tree, "rows"), i, row)
		add_row(&g, row);
	text_table_print(&g, &out, "");
	add_pairs(&out, tree);
	add_models(&out, tree);
	autofree char *notes = compare_table_notes(tree);
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

char *compare_table_csv(const json_t *tree)
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
		add_csv(&out, json_text(row, "name"));
		str_printf(&out, ",%s,%zu", json_text(row, "kind"), json_count(row, "runs"));
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

char *compare_table_json(const json_t *tree)
{
	autofree char *text = json_dumps(tree, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	return mem_printf("%s\n", text);
}

char *compare_table_times(const json_t *tree)
{
	struct str out = {0};
	size_t i;
	const json_t *row;
	str_puts(&out, "");
	json_array_foreach (json_object_get(tree, "rows"), i, row)
		if (!isnan(part(row, "mean", 0)))
			str_printf(&out, "%s: %.3f\n", json_text(row, "name"), part(row, "mean", 0));
	return str_steal(&out);
}
