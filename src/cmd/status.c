#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "report/report.h"

#include <stdbool.h>

int cmd_status(int argc, char **argv, struct error *err)
{
	const char *runs = NULL, *name;
	bool as_json = false;
	const struct option_row rows[] = {
		{"runs", 0, "DIR", "where the runs are (default: $MUSTER_RUNS, or runs)", &runs},
		{"json", 0, NULL, "print one JSON object", &as_json},
		{0},
	};
	int first = options_parse(
		argc, argv, "status [OPTION]... [RUN]\nSays how a run stands, by default the latest.", rows, err);
	if (first <= 0)
		return first;
	if (options_operand(argc, argv, first, &name, err) < 0)
		return -1;
	struct run *run = run_open(options_runs(runs), name, err);
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
