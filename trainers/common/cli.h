// A trainer's command line from a table: one row per option, from which parsing and --help follow.
// Not a program's own checks of how its options go together, nor defaults that depend on the machine.
#ifndef COMMON_CLI_H
#define COMMON_CLI_H
#include <stddef.h>

enum cli_kind { CLI_NUMBER, CLI_REAL, CLI_TEXT, CLI_CHOICE, CLI_FLAG, CLI_HELP };

struct cli_row {
	const char *name, *argument; // argument: what --help calls it; NULL: none
	enum cli_kind kind;
	size_t offset;           // of the member that is set: long, double, const char *, int (or an enum), bool
	long low, high, initial; // CLI_NUMBER: what is allowed, LONG_MAX for no limit; CLI_CHOICE: initial alone
	const char *help;
	const char *const *names; // CLI_CHOICE: the words, in the order of their values, then NULL
	double real_initial;      // CLI_REAL: anything above 0 is allowed
};

struct cli {
	const char *program, *purpose; // for --help: one line that says what it does
	const struct cli_row *rows;
	int count;
};

// Sets INTO's members to the rows' initial values, then reads the command line: --NAME VALUE, --NAME=VALUE, --FLAG. On
// --help prints it and exits 0; on anything wrong ends as cli_usage does. The strings are argv's.
void cli_parse(const struct cli *cli, void *into, int argc, char **argv);

// Prints "PROGRAM: text; see PROGRAM --help" to stderr and exits 2. Text as for printf.
void cli_usage(const struct cli *cli, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

#endif
