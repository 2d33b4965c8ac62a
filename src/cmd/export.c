#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "report/bundle.h"

#include <stdio.h>

static const struct options_usage usage = {
	.arguments = "[RUN]",
	.most = 1,
	.about = "Packs a run that has ended (default: the latest) into one file, a bundle: job file, plan, checksums "
		 "of the inputs, versions, description of the machines, logs, metrics and outputs. `muster rerun` "
		 "repeats the run." OPTIONS_ABOUT_RUN,
};

int cmd_export(int argc, char **argv, struct error *err)
{
	const char *runs = NULL, *out = NULL;
	const struct option_row rows[] = {
		OPTIONS_RUNS(&runs),
		{"out", 'o', "FILE", "file to write (default: ID.bundle.tar)", &out},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	struct run *run = run_open(runs, argv[first], err);
	if (!run)
		return -1;
	autofree char *path = out ? mem_strdup(out) : mem_printf("%s.bundle.tar", run->id);
	int rc = bundle_write(run, path, err);
	if (rc == 0)
		puts(path);
	run_free(run);
	return rc;
}
