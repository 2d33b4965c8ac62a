// The command line of a subcommand as data: parsing, errors and --help follow from a table of options and a description
// of the arguments. It knows no option but --help and the default of --runs; macros are rows of several subcommands.
#ifndef CMD_OPTIONS_H
#define CMD_OPTIONS_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct options_list {
	const char **items; // owned by the list; what they point to is argv's
	size_t count;
};

struct option_row {
	const char *name;  // without "--"
	char letter;       // or 0
	const char *value; // what its value is called in the help; NULL: a flag; "*X": may be given several times
	const char *help;  // broken into lines of 80 columns
	void *to;          // flag: bool *; value: const char ** (the last one counts); several: struct options_list *
};

#define OPTIONS_ANY SIZE_MAX

struct options_usage {
	const char *arguments; // as the usage line shows them: "[RUN]", "NAME [ACTION]"; NULL: there are none
	size_t least, most;    // how many there may be; OPTIONS_ANY: any number
	const char *command;   // what follows the arguments, perhaps after "--", and is not parsed; NULL: nothing does
	const char *about;     // what the subcommand does, broken into lines of 80 columns
};

// Parses all of argv, which ends with NULL and whose argv[0] is the subcommand. Options may stand before, between and
// after the arguments, but only before usage->command. rows ends with a row without name. Returns the index of the
// first argument: the arguments follow each other from there on, then usage->command, then NULL. Returns 0 when --help
// was given and the help printed; -1 and err (ERROR_USAGE).
int options_parse(
	int argc, char **argv, const struct options_usage *usage, const struct option_row *rows, struct error *err);

// The last paragraph of what subcommands with the argument RUN say about themselves.
#define OPTIONS_ABOUT_RUN "\n\nRUN is an id, a unique beginning of one, a run's directory, or 'latest'."

// Without --runs, *to is $MUSTER_RUNS, or "runs" where that is not set or empty.
#define OPTIONS_RUNS(to)                                                                                               \
	{                                                                                                              \
		"runs", 0, "DIR", "directory of the runs (default: $MUSTER_RUNS, or runs)", to                         \
	}
#define OPTIONS_PRICES(to)                                                                                             \
	{                                                                                                              \
		"prices", 0, "FILE", "price list (default: $MUSTER_PRICES, or prices.yaml if it exists)", to           \
	}
#define OPTIONS_SITE(to)                                                                                               \
	{                                                                                                              \
		"site", 0, "FILE", "defaults of this site: deadline, heartbeat, lease, grace", to                      \
	}
#define OPTIONS_SET(to)                                                                                                \
	{                                                                                                              \
		"set", 's', "*PATH=VALUE",                                                                             \
			"override a key of the job file: run.env.X=1, cluster.nodes=4, inputs[0].from=a.tar", to       \
	}
#define OPTIONS_QUIET(to)                                                                                              \
	{                                                                                                              \
		"quiet", 'q', NULL, "print only problems", to                                                          \
	}

#endif
