#include "base/fs.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "node/node_dirs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"usage: muster agent < CONFIGURATION\n"
	"\n"
	"Runs the agent of a node (the executable muster-agent) in this process. Its configuration comes on standard\n"
	"input, one JSON object a line; executors write it, people seldom do.\n"
	"\n"
	"  -h, --help  print this text\n";

int cmd_agent(int argc, char **argv, struct error *err)
{
	if (argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc > 1)
		return error_set(err, ERROR_USAGE, "agent: '%s' is one argument too many", argv[1]);
	autofree char *program = node_dirs_agent();
	execl(program, "muster-agent", (char *)NULL);
	return error_errno(err, "cannot run '%s'", program);
}
