// Options of a subcommand as a table: parsing, the message for a wrong one and --help follow from it.
// It knows no particular option but --help and --runs' default.
#ifndef CMD_OPTIONS_H
#define CMD_OPTIONS_H

#include "base/error.h"

#include <stddef.h>

struct options_list {
	const char **items; // owned by the list; what they point to is argv's
	size_t count;
};

struct option_row {
	const char *name;  // without "--"
	char letter;       // or 0
	const char *value; // what its value is called in the help; NULL for a flag; "*X": there may be several
	const char *help;  // one line
	void *to; // bool * of a flag, const char ** of a value (the last one given counts), struct options_list * of
		  // several
};

// Parses up to the end of argv, operands in between allowed, which end up last. rows ends with a row without name.
// about is what follows "usage: muster " in the help, then a line that says what the command does. Returns the index of
// the first operand; 0 when --help was asked for and printed; -1 and err (ERROR_USAGE).
int options_parse(int argc, char **argv, const char *about, const struct option_row *rows, struct error *err);

// The only operand from first on, NULL when there is none; more than one sets err and returns -1.
int options_operand(int argc, char **argv, int first, const char **operand, struct error *err);

// The directory of runs: what --runs gave (may be NULL), else $MUSTER_RUNS, else "runs".
const char *options_runs(const char *given);

#endif
