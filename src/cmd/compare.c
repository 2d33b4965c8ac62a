#include "base/fs.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/compare_input.h"
#include "cmd/options.h"
#include "compare/compare_html.h"
#include "compare/compare_table.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int write_html(const json_t *tree, const char *path, struct error *err)
{
	autofree char *page = compare_html_html(tree);
	if (fs_write(path, page, strlen(page), 0644, err) < 0)
		return -1;
	fprintf(stderr, "written: %s\n", path);
	return 0;
}

static const struct options_usage usage = {
	.arguments = "[SWEEP | RUN...]",
	.most = OPTIONS_ANY,
	.about = "Compares the clusters of a sweep (default: the latest), or runs of one job: time with its 95 % "
		 "interval, speed-up, efficiency and cost. Clusters that cannot be told apart are reported as equal.",
};

int cmd_compare(int argc, char **argv, struct error *err)
{
	const char *html = NULL;
	bool as_json = false, as_csv = false, as_times = false;
	struct compare_input_options o = {0};
	const struct option_row rows[] = {
		OPTIONS_RUNS(&o.runs),
		OPTIONS_PRICES(&o.prices),
		{"at", 0, "N,N...", "add clusters of these sizes, predicted by a scaling model", &o.at},
		{"different", 0, NULL, "compare runs of different jobs too", &o.different},
		{"html", 0, "FILE", "write a page with plots", &html},
		{"csv", 0, NULL, "print CSV", &as_csv},
		{"times", 0, NULL, "print one line per cluster, NAME: SECONDS", &as_times},
		{"json", 0, NULL, "print JSON", &as_json},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	if (as_json + as_csv + as_times > 1)
		return error_set(err, ERROR_USAGE, "compare: expected only one of --json, --csv and --times");
	o.chosen = true;
	autojson json_t *tree = compare_input_make(&o, argv + first, argc - first, err);
	if (!tree || (html && write_html(tree, html, err) < 0))
		return -1;
	autofree char *text = as_json    ? compare_table_json(tree)
			      : as_csv   ? compare_table_csv(tree)
			      : as_times ? compare_table_times(tree)
					 : compare_table_text(tree);
	fputs(text, stdout);
	return 0;
}
