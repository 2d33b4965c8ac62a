#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "node/node_dirs.h"

#include <unistd.h>

static const struct options_usage usage = {
	.about = "Runs the agent of a node (the executable muster-agent) in this process. Reads its configuration from "
		 "standard input, one JSON object per line. Executors start agents; there is seldom a reason to do so "
		 "by hand.",
};

int cmd_agent(int argc, char **argv, struct error *err)
{
	static const struct option_row rows[] = {{0}};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	autofree char *program = node_dirs_agent();
	execl(program, "muster-agent", (char *)NULL);
	return error_errno(err, "cannot run '%s'", program);
}
