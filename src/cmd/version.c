#include "cmd/cmd.h"

#include <stdio.h>
#include <string.h>

int cmd_version(int argc, char **argv, struct error *err)
{
	if (argc > 1 && strcmp(argv[1], "--json") == 0)
		puts("{\"version\": \"" MUSTER_VERSION "\"}");
	else if (argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0))
		puts("usage: muster version [--json]\n\nPrints the version.");
	else if (argc > 1)
		return error_set(err, ERROR_USAGE, "version: unknown option '%s', expected --json or --help", argv[1]);
	else
		puts("muster " MUSTER_VERSION);
	return 0;
}
