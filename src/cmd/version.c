#include "cmd/cmd.h"
#include "cmd/options.h"

#include <stdbool.h>
#include <stdio.h>

static const struct options_usage usage = {.about = "Prints the version."};

int cmd_version(int argc, char **argv, struct error *err)
{
	bool as_json = false;
	const struct option_row rows[] = {{"json", 0, NULL, "print JSON", &as_json}, {0}};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	puts(as_json ? "{\"version\": \"" MUSTER_VERSION "\"}" : "muster " MUSTER_VERSION);
	return 0;
}
