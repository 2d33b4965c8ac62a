#include "cmd/options.h"

#include "base/did_you_mean.h"
#include "base/mem.h"
#include "base/str.h"

#include <assert.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROWS_MAX = 32,
	FIRST = 256,       // getopt's value of row 0, above every letter
	ARGUMENTS_MAX = 4, // in front of a command
	COLUMNS = 80,
	NAMES_MAX = 28, // columns of the names of options in the help: longer ones have a line of their own
};

static bool is_many(const struct option_row *row)
{
	return row->value && *row->value == '*';
}

// --- help ---------------------------------------------------------------------

static char *name_of(const struct option_row *row)
{
	return mem_printf("--%s%s%s", row->name, row->value ? " " : "", row->value ? row->value + is_many(row) : "");
}

// Words up to 80 columns a line; column is where the first one goes, indent where further lines begin.
static void print_wrapped(const char *text, size_t column, size_t indent)
{
	for (size_t start = column; *text;) {
		size_t len = strcspn(text, " \n");
		if (column > indent && column + 1 + len > COLUMNS) {
			printf("\n%*s", (int)indent, "");
			column = start = indent;
		}
		printf("%s%.*s", column > start ? " " : "", (int)len, text);
		column += len + (column > start);
		text += len;
		if (*text == '\n') {
			putchar('\n');
			column = start = 0;
		}
		text += *text != '\0';
	}
	putchar('\n');
}

static void print_row(const struct option_row *row, size_t width)
{
	char letter[8] = "    ";
	if (row->letter)
		snprintf(letter, sizeof letter, "-%c, ", row->letter);
	autofree char *name = name_of(row);
	size_t indent = 2 + 4 + width + 2;
	if (strlen(name) > width)
		printf("  %s%s\n%*s", letter, name, (int)indent, "");
	else
		printf("  %s%-*s  ", letter, (int)width, name);
	print_wrapped(row->help, indent, indent);
}

static void add_usage(struct str *out, const char *name, const struct options_usage *usage, const char *options)
{
	str_printf(out, "muster %s%s", name, options);
	if (usage->arguments)
		str_printf(out, " %s", usage->arguments);
	if (usage->command)
		str_printf(out, " -- %s", usage->command);
}

static void print_help(const char *name, const struct options_usage *usage, const struct option_row *rows)
{
	static const struct option_row self = {.name = "help", .letter = 'h', .help = "print this text"};
	autostr struct str line = {0};
	add_usage(&line, name, usage, " [OPTION]...");
	printf("usage: %s\n\n", line.text);
	print_wrapped(usage->about, 0, 0);
	putchar('\n');
	size_t width = strlen("--help");
	for (const struct option_row *row = rows; row->name; row++) {
		autofree char *names = name_of(row);
		size_t len = strlen(names);
		width = len > width && len <= NAMES_MAX ? len : width;
	}
	for (; rows->name; rows++)
		print_row(rows, width);
	print_row(&self, width);
}

// --- parsing ------------------------------------------------------------------

// What getopt wants of the table: long options and the string of letters.
static void describe(
	const struct options_usage *usage, const struct option_row *rows, struct option *longs, char *letters)
{
	size_t n = 0;
	if (usage->command)
		*letters++ = '+'; // stop at each argument: behind the last one nothing is an option
	*letters++ = ':';
	for (; rows[n].name && n < ROWS_MAX; n++) {
		longs[n] = (struct option){
			rows[n].name, rows[n].value ? required_argument : no_argument, NULL, FIRST + (int)n};
		if (rows[n].letter) {
			*letters++ = rows[n].letter;
			if (rows[n].value)
				*letters++ = ':';
		}
	}
	longs[n] = (struct option){"help", no_argument, NULL, 'h'};
	*letters++ = 'h';
	*letters = '\0';
}

static int refuse(char **argv, const struct option_row *rows, struct error *err)
{
	const char *word = argv[optind - 1];
	const char *names[ROWS_MAX + 2] = {0};
	size_t n = 0;
	for (; rows[n].name; n++)
		names[n] = rows[n].name;
	names[n] = "help";
	if (!str_starts(word, "--"))
		return error_set(
			err, ERROR_USAGE, "%s: unknown option '-%c'; see `muster %s --help`", argv[0], optopt, argv[0]);
	autofree char *bare = mem_strndup(word + 2, strcspn(word + 2, "="));
	const char *near = did_you_mean(bare, names);
	if (near && strcmp(near, bare) == 0)
		return error_set(err, ERROR_USAGE, "%s: --%s takes no value, found '%s'", argv[0], bare, word);
	autofree char *option = near ? mem_printf("--%s", near) : NULL, *hint = did_you_mean_text(", ", option, "");
	return error_set(
		err, ERROR_USAGE, "%s: unknown option '%s'%s; see `muster %s --help`", argv[0], word, hint, argv[0]);
}

static const struct option_row *find_row(const struct option_row *rows, int c)
{
	if (c >= FIRST)
		return &rows[c - FIRST];
	while (rows->letter != c)
		rows++;
	return rows;
}

static void add(struct options_list *list, const char *value)
{
	list->items = mem_resize(list->items, (list->count + 1) * sizeof *list->items);
	list->items[list->count++] = value;
}

static void store(const struct option_row *row)
{
	if (is_many(row))
		add(row->to, optarg);
	else if (row->value)
		*(const char **)row->to = optarg;
	else
		*(bool *)row->to = true;
}

static void set_default_runs(const struct option_row *rows)
{
	for (; rows->name; rows++) {
		const char **to = rows->to, *set = getenv("MUSTER_RUNS");
		if (strcmp(rows->name, "runs") == 0 && !*to)
			*to = set && *set ? set : "runs";
	}
}

// Options up to the next argument, or up to the end where getopt moves the arguments behind them. separator: "--" ended
// them. 1; 0 when --help was printed.
static int parse_options(int argc, char **argv, const struct options_usage *usage, const struct option_row *rows,
	bool *separator, struct error *err)
{
	struct option longs[ROWS_MAX + 2] = {0};
	char letters[2 * ROWS_MAX + 5];
	describe(usage, rows, longs, letters);
	for (;;) {
		int before = optind, c = getopt_long(argc, argv, letters, longs, NULL);
		*separator = optind > before && strcmp(argv[optind - 1], "--") == 0;
		if (c == -1)
			return 1;
		if (c == '?')
			return refuse(argv, rows, err);
		if (c == ':')
			return error_set(err, ERROR_USAGE, "%s: '%s' needs a value", argv[0], argv[optind - 1]);
		if (c == 'h') {
			print_help(argv[0], usage, rows);
			return 0;
		}
		store(find_row(rows, c));
	}
}

static int refuse_count(char **argv, const struct options_usage *usage, const char *more, struct error *err)
{
	autostr struct str line = {0};
	add_usage(&line, argv[0], usage, "");
	return more ? error_set(
			      err, ERROR_USAGE, "%s: unexpected argument '%s', expected `%s`", argv[0], more, line.text)
		    : error_set(err, ERROR_USAGE, "%s: missing argument, expected `%s`", argv[0], line.text);
}

// Where a command follows, getopt stops at each argument: they are collected, and put right in front of the command.
static int parse_with_command(
	int argc, char **argv, const struct options_usage *usage, const struct option_row *rows, struct error *err)
{
	char *found[ARGUMENTS_MAX];
	size_t count = 0;
	assert(usage->most <= countof(found));
	for (;;) {
		bool separator;
		int rc = parse_options(argc, argv, usage, rows, &separator, err);
		if (rc <= 0)
			return rc;
		if (count == usage->most || optind == argc || separator)
			break;
		found[count++] = argv[optind++];
	}
	if (count < usage->least || optind == argc)
		return refuse_count(argv, usage, NULL, err);
	memcpy(argv + optind - count, found, count * sizeof *found);
	return optind - (int)count;
}

int options_parse(
	int argc, char **argv, const struct options_usage *usage, const struct option_row *rows, struct error *err)
{
	optind = 0; // start anew
	opterr = 0;
	bool separator;
	int first = usage->command ? parse_with_command(argc, argv, usage, rows, err)
				   : parse_options(argc, argv, usage, rows, &separator, err);
	if (first <= 0)
		return first;
	set_default_runs(rows);
	if (usage->command)
		return first;
	size_t count = (size_t)(argc - optind);
	if (count < usage->least || count > usage->most)
		return refuse_count(argv, usage, count < usage->least ? NULL : argv[optind + (int)usage->most], err);
	return optind;
}
