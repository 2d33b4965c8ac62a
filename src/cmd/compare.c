#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/comparison.h"
#include "cmd/options.h"
#include "run/grid.h"
#include "run/leaflet.h"
#include "run/tree.h"

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

static char *number(double value, const char *format)
{
	return isnan(value) ? mem_strdup("") : format[0] == 's' ? str_seconds(value) : mem_printf("%.4g", value);
}

// "1 min 32 s +- 1.2 %".
static char *range_text(const json_t *row, const char *name, bool seconds)
{
	double value = part(row, name, 0), half = (part(row, name, 2) - part(row, name, 1)) / 2;
	autofree char *text = seconds && value >= 60 ? str_seconds(value) : isnan(value) ? mem_strdup("") : mem_printf("%.4g%s", value, seconds ? " s" : "");
	return isnan(half) || half <= 0 ? mem_strdup(text) : mem_printf("%s +-%.2g %%", text, 100 * half / value);
}

static void add_row(struct grid *g, const json_t *row)
{
	double expected = tree_has(json_object_get(row, "expected"), "time") ? tree_number(json_object_get(row, "expected"), "time") : NAN;
	double off = part(row, "seconds", 0) / expected - 1;
	grid_add(g, tree_text(row, "name"));
	grid_take(g, mem_printf("%.0f", tree_number(row, "nodes")));
	grid_take(g, mem_printf("%zu", tree_count(row, "runs")));
	grid_add(g, tree_text(row, "kind"));
	grid_take(g, range_text(row, "seconds", true));
	grid_take(g, number(part(row, "rate", 0), "g"));
	grid_take(g, number(part(row, "speedup", 0), "g"));
	grid_take(g, isnan(part(row, "efficiency", 0)) ? mem_strdup("") : mem_printf("%.0f %%", 100 * part(row, "efficiency", 0)));
	grid_take(g, number(part(row, "init", 0), "s"));
	grid_take(g, number(part(row, "overhead", 0), "s"));
	grid_take(g, range_text(row, "cost", false));
	grid_take(g, isnan(off) ? mem_strdup("") : mem_printf("%+.2f %%", 100 * off));
}

static void add_notes(struct str *out, const json_t *tree)
{
	size_t i, k;
	const json_t *row, *item;
	json_array_foreach(json_object_get(tree, "pairs"), i, item)
	{
		const json_t *rows = json_object_get(tree, "rows");
		str_printf(out, "%s%s against %s: %s\n", i ? "" : "\n", tree_text(json_array_get(rows, (size_t)tree_number(item, "a")), "name"),
			tree_text(json_array_get(rows, (size_t)tree_number(item, "b")), "name"), tree_text(item, "verdict"));
	}
	json_array_foreach(json_object_get(tree, "models"), i, item)
	{
		autofree char *error = tree_has(item, "error") ? mem_printf("off by at most %.2g %%", 100 * tree_number(item, "error"))
							       : mem_strdup("as many points as terms: how far off is not known");
		str_printf(out, "\nmodel of %s: %.4g s + %.4g s / nodes + %.3g s * (nodes - 1), from %.0f numbers of nodes, %s\n", tree_text(item, "name"),
			tree_number(item, "serial"), tree_number(item, "parallel"), tree_number(item, "talk"), tree_number(item, "points"), error);
	}
	json_array_foreach(json_object_get(tree, "rows"), i, row)
	{
		json_array_foreach(json_object_get(row, "doubts"), k, item)
			str_printf(out, "%s: not to be trusted: %s\n", tree_text(row, "name"), json_string_value(item));
		if (tree_number(row, "failed") > 0)
			str_printf(out, "%s: %.0f of %zu runs failed\n", tree_text(row, "name"), tree_number(row, "failed"), tree_count(row, "runs"));
	}
}

static void print_table(const json_t *tree)
{
	const char *currency = tree_text(tree, "currency");
	autofree char *rate = mem_printf("#%s/S", tree_is(tree, "unit", "samples") ? "SAMPLES" : "ITERATIONS"),
		      *cost = mem_printf("#COST%s%s", currency ? " " : "", currency ? currency : "");
	const char *const heads[] = {"CLUSTER", "#NODES", "#RUNS", "TIME IS", "#TIME", rate, "#SPEED-UP", "#EFFICIENCY", "#BEFORE", "#CLUSTER TOOK", cost,
		"#AGAINST EXPECTED", NULL};
	struct grid g = {.heads = heads};
	autostr struct str out = {0};
	size_t i;
	const json_t *row;
	json_array_foreach(json_object_get(tree, "rows"), i, row)
		add_row(&g, row);
	grid_print(&g, &out, "");
	add_notes(&out, tree);
	fputs(out.text ? out.text : "", stdout);
}

static void add_csv(struct str *out, const char *text)
{
	str_puts(out, "\"");
	for (; text && *text; text++)
		str_add(out, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
	str_puts(out, "\"");
}

static void print_csv(const json_t *tree)
{
	static const char *const numbers[] = {"nodes", "cpus", "memory", "size", "failed", "rate", "init", "overhead", "speedup", "efficiency"};
	static const char *const ranges[] = {"seconds", "turn", "cost"};
	autostr struct str out = {0};
	str_puts(&out, "name,kind,runs");
	for (size_t k = 0; k < countof(numbers); k++)
		str_printf(&out, ",%s", numbers[k]);
	for (size_t k = 0; k < countof(ranges); k++)
		str_printf(&out, ",%s,%s_low,%s_high", ranges[k], ranges[k], ranges[k]);
	str_puts(&out, "\n");
	size_t i;
	const json_t *row;
	json_array_foreach(json_object_get(tree, "rows"), i, row)
	{
		add_csv(&out, tree_text(row, "name"));
		str_printf(&out, ",%s,%zu", tree_text(row, "kind"), tree_count(row, "runs"));
		for (size_t k = 0; k < countof(numbers) + 3 * countof(ranges); k++) {
			size_t r = k - countof(numbers);
			double value = k < countof(numbers) ? part(row, numbers[k], 0) : part(row, ranges[r / 3], r % 3);
			autofree char *text = isnan(value) ? mem_strdup("") : mem_printf("%.9g", value);
			str_printf(&out, ",%s", text);
		}
		str_puts(&out, "\n");
	}
	fputs(out.text, stdout);
}

static void print_times(const json_t *tree)
{
	size_t i;
	const json_t *row;
	json_array_foreach(json_object_get(tree, "rows"), i, row)
		if (!isnan(part(row, "seconds", 0)))
			printf("%s: %.3f\n", tree_text(row, "name"), part(row, "seconds", 0));
}

static void print_json(const json_t *tree)
{
	autofree char *text = json_dumps(tree, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	puts(text);
}

static int write_html(const json_t *tree, const char *path, struct error *err)
{
	autofree char *page = leaflet_html(tree);
	if (fs_write(path, page, strlen(page), 0644, err) < 0)
		return -1;
	fprintf(stderr, "written: %s\n", path);
	return 0;
}

int cmd_compare(int argc, char **argv, struct error *err)
{
	const char *runs = NULL, *html = NULL;
	bool as_json = false, as_csv = false, as_times = false;
	struct comparison_options o = {0};
	const struct option_row rows[] = {
		{"runs", 0, "DIR", "where the runs are (default: $MUSTER_RUNS, or runs)", &runs},
		{"prices", 0, "FILE", "what nodes cost (default: $MUSTER_PRICES, or prices.yaml when it is there)", &o.prices},
		{"at", 0, "N,N...", "also clusters of so many nodes, from a model of those that were run", &o.at},
		{"different", 0, NULL, "compare runs although they did different things", &o.different},
		{"html", 0, "FILE", "write a page with plots", &html},
		{"csv", 0, NULL, "print CSV", &as_csv},
		{"times", 0, NULL, "print one line a cluster, NAME: SECONDS", &as_times},
		{"json", 0, NULL, "print JSON", &as_json},
		{0},
	};
	int first = options_parse(argc, argv,
		"compare [OPTION]... [SWEEP | RUN...]\nCompares the clusters of a sweep (by default the latest), or runs of the same job.", rows, err);
	if (first <= 0)
		return first;
	if (as_json + as_csv + as_times > 1)
		return error_set(err, ERROR_USAGE, "compare: expected only one of --json, --csv and --times");
	o.runs = options_runs(runs);
	autojson json_t *tree = comparison_make(&o, argv + first, argc - first, err);
	if (!tree || (html && write_html(tree, html, err) < 0))
		return -1;
	if (as_json)
		print_json(tree);
	else if (as_csv)
		print_csv(tree);
	else if (as_times)
		print_times(tree);
	else
		print_table(tree);
	return 0;
}
