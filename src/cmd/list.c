#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/text_table.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "report/report.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Every run that can be read, newest first; a directory that is no run any more is left out.
static json_t *read_runs(const char *runs, size_t most)
{
	json_t *result = json_array();
	autojson json_t *ids = run_list(runs);
	for (size_t i = 0; i < json_array_size(ids) && json_array_size(result) < most; i++) {
		autofree char *path = mem_printf("%s/%s", runs, json_string_value(json_array_get(ids, i)));
		struct run *run = run_open(runs, path, NULL);
		json_t *brief = run ? report_brief(run, NULL) : NULL;
		if (brief)
			json_array_append_new(result, brief);
		run_free(run);
	}
	return result;
}

static void add_row(struct text_table *g, const json_t *brief)
{
	time_t begun = (time_t)json_number(brief, "started");
	struct tm tm;
	char date[32] = "";
	if (begun && localtime_r(&begun, &tm))
		strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
	const char *why = json_text(brief, "why");
	text_table_add(g, json_text(brief, "id"));
	text_table_add(g, json_text(brief, "outcome"));
	text_table_add(g, json_text(brief, "executor"));
	text_table_take(g, json_has(brief, "nodes") ? mem_printf("%.0f", json_number(brief, "nodes")) : NULL);
	text_table_take(g, json_has(brief, "size") ? mem_printf("%.0f", json_number(brief, "size")) : NULL);
	text_table_add(g, date);
	text_table_take(g, str_seconds(json_number(brief, "seconds")));
	text_table_take(g, why ? mem_strndup(why, str_utf8_valid(why, strlen(why) < 72 ? strlen(why) : 72)) : NULL);
}

static void print_table(const json_t *briefs)
{
	static const char *const heads[] = {
		"RUN", "OUTCOME", "EXECUTOR", "#NODES", "#RANKS", "STARTED", "#TOOK", "WHY", NULL};
	struct text_table g = {.heads = heads};
	autostr struct str out = {0};
	size_t k;
	json_t *brief;
	json_array_foreach (briefs, k, brief)
		add_row(&g, brief);
	text_table_print(&g, &out, "");
	fputs(out.len ? out.text : "", stdout);
}

static const struct options_usage usage = {
	.about = "Lists the runs, newest first. (`muster ls` lists persistent clusters.)",
};

int cmd_list(int argc, char **argv, struct error *err)
{
	const char *runs = NULL, *count = NULL;
	bool as_json = false;
	const struct option_row rows[] = {
		OPTIONS_RUNS(&runs),
		{"number", 'n', "N", "list only the N newest runs", &count},
		{"json", 0, NULL, "print a JSON array", &as_json},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	size_t most = SIZE_MAX;
	if (count) {
		char *end;
		errno = 0;
		long long n = strtoll(count, &end, 10);
		if (errno || end == count || *end || n < 1)
			return error_set(
				err, ERROR_USAGE, "list: found --number '%s', expected a number of 1 or more", count);
		most = (size_t)n;
	}
	autojson json_t *briefs = read_runs(runs, most);
	if (as_json) {
		autofree char *text = json_dumps(briefs, JSON_INDENT(2) | JSON_REAL_PRECISION(16));
		puts(text);
	} else {
		print_table(briefs);
	}
	return 0;
}
