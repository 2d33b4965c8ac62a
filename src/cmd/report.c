#include "report/report.h"

#include "base/fs.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/options.h"

#include <stdbool.h>
#include <string.h>

enum { FILE_MAX_BYTES = 1 << 30 };

static int print_file(const char *path, struct error *err)
{
	size_t len;
	autofree char *content = fs_read(path, FILE_MAX_BYTES, &len, err);
	if (!content)
		return -1;
	fwrite(content, 1, len, stdout);
	return 0;
}

// The controller writes the report when its run ends; whoever has none, or one that is out of date, gets it made here.
static int refresh(const struct run *run, struct error *err)
{
	static const char *const names[] = {"report.json", "report.html", "times.txt"};
	autojson json_t *brief = report_brief(run, err);
	if (!brief)
		return -1;
	const char *outcome = json_string_value(json_object_get(brief, "outcome"));
	bool stale = strcmp(outcome, "running") == 0 || strcmp(outcome, "lost") == 0;
	for (size_t i = 0; i < countof(names); i++) {
		autofree char *path = run_path(run, names[i]);
		stale |= !fs_exists(path);
	}
	return stale ? report_write(run, err) : 0;
}

static int print_text(const struct run *run, const char *json_path, const char *html_path, struct error *err)
{
	autofree char *content = fs_read(json_path, FILE_MAX_BYTES, NULL, err);
	autojson json_t *report = content ? json_loads(content, 0, NULL) : NULL;
	if (!report)
		report = report_make(run, err);
	if (!report)
		return -1;
	autofree char *text = report_text(report);
	printf("%s\n  %-8s  %s\n", text, "report", html_path);
	return 0;
}

static const struct options_usage usage = {
	.arguments = "[RUN]",
	.most = 1,
	.about = "Shows the report of a run (default: the latest). The page is report.html in the run's "
		 "directory." OPTIONS_ABOUT_RUN,
};

int cmd_report(int argc, char **argv, struct error *err)
{
	const char *runs = NULL;
	bool as_json = false, as_html = false, as_text = false;
	const struct option_row rows[] = {
		OPTIONS_RUNS(&runs),
		{"text", 0, NULL, "print the report as text and the path of the page (the default)", &as_text},
		{"json", 0, NULL, "print report.json", &as_json},
		{"html", 0, NULL, "print report.html", &as_html},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	if (as_json + as_html + as_text > 1)
		return error_set(err, ERROR_USAGE, "report: expected only one of --text, --json and --html");
	struct run *run = run_open(runs, argv[first], err);
	if (!run)
		return -1;
	autofree char *json_path = run_path(run, "report.json"), *html_path = run_path(run, "report.html");
	int rc = refresh(run, err);
	if (rc == 0)
		rc = as_json   ? print_file(json_path, err)
		     : as_html ? print_file(html_path, err)
			       : print_text(run, json_path, html_path, err);
	run_free(run);
	return rc;
}
