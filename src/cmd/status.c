#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "report/report.h"

#include <stdbool.h>

static const struct options_usage usage = {
	.arguments = "[RUN]",
	.most = 1,
	.about = "Shows the state of a run (default: the latest)." OPTIONS_ABOUT_RUN,
};

int cmd_status(int argc, char **argv, struct error *err)
{
	const char *runs = NULL;
	bool as_json = false;
	const struct option_row rows[] = {
		OPTIONS_RUNS(&runs),
		{"json", 0, NULL, "print JSON", &as_json},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	struct run *run = run_open(runs, argv[first], err);
	if (!run)
		return -1;
	autojson json_t *summary = report_summary(run, err);
	run_free(run);
	if (!summary)
		return -1;
	autofree char *text =
		as_json ? json_dumps(summary, JSON_INDENT(2) | JSON_REAL_PRECISION(16)) : report_text(summary);
	printf("%s%s", text, as_json ? "\n" : "");
	return 0;
}
