#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "report/bundle.h"

#include <stdio.h>

int cmd_export(int argc, char **argv, struct error *err)
{
	const char *runs = NULL, *out = NULL, *name;
	const struct option_row rows[] = {
		{"runs", 0, "DIR", "where the runs are (default: $MUSTER_RUNS, or runs)", &runs},
		{"out", 'o', "FILE", "the file to write (default: ID.capsule.tar)", &out},
		{0},
	};
	int first = options_parse(argc, argv,
		"export [OPTION]... [RUN]\nPacks a run (by default the latest) into one file: job, plan, sums of its "
		"inputs, versions, machines, everything it said and left.",
		rows, err);
	if (first <= 0)
		return first;
	if (options_operand(argc, argv, first, &name, err) < 0)
		return -1;
	struct run *run = run_open(options_runs(runs), name, err);
	if (!run)
		return -1;
	autofree char *path = out ? mem_strdup(out) : mem_printf("%s.capsule.tar", run->id);
	int rc = bundle_write(run, path, err);
	if (rc == 0)
		puts(path);
	run_free(run);
	return rc;
}
