#include "cmd/options.h"

#include "base/did_you_mean.h"
#include "base/mem.h"
#include "base/str.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 32, FIRST = 256 }; // FIRST: getopt's value of row 0, above every letter

static bool is_many(const struct option_row *row)
{
	return row->value && *row->value == '*';
}

static char *name_of(const struct option_row *row)
{
	return mem_printf("--%s%s%s", row->name, row->value ? " " : "", row->value ? row->value + is_many(row) : "");
}

static void print_row(const struct option_row *row, int width)
{
	char letter[8] = "    ";
	if (row->letter)
		snprintf(letter, sizeof letter, "-%c, ", row->letter);
	autofree char *name = name_of(row);
	printf("  %s%-*s  %s\n", letter, width, name, row->help);
}

static void print_help(const char *about, const struct option_row *rows)
{
	static const struct option_row self = {.name = "help", .letter = 'h', .help = "print this text"};
	int width = 16;
	for (const struct option_row *row = rows; row->name; row++) {
		autofree char *name = name_of(row);
		width = (int)strlen(name) > width ? (int)strlen(name) : width;
	}
	printf("usage: muster %s\n\n", about);
	for (; rows->name; rows++)
		print_row(rows, width);
	print_row(&self, width);
}

// What getopt wants of the table: long options and the string of letters.
static size_t describe(const struct option_row *rows, struct option *longs, char *letters)
{
	size_t n = 0;
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
	return n;
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

int options_parse(int argc, char **argv, const char *about, const struct option_row *rows, struct error *err)
{
	struct option longs[ROWS_MAX + 2] = {0};
	char letters[2 * ROWS_MAX + 4];
	describe(rows, longs, letters);
	optind = 0; // start anew
	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
		if (c == '?')
			return refuse(argv, rows, err);
		if (c == ':')
			return error_set(err, ERROR_USAGE, "%s: '%s' needs a value", argv[0], argv[optind - 1]);
		if (c == 'h') {
			print_help(about, rows);
			return 0;
		}
		const struct option_row *row = find_row(rows, c);
		if (is_many(row))
			add(row->to, optarg);
		else if (row->value)
			*(const char **)row->to = optarg;
		else
			*(bool *)row->to = true;
	}
	return optind;
}

int options_operand(int argc, char **argv, int first, const char **operand, struct error *err)
{
	*operand = first < argc ? argv[first] : NULL;
	if (argc - first > 1)
		return error_set(err, ERROR_USAGE, "%s: found '%s' after '%s', expected one run at most", argv[0],
			argv[first + 1], argv[first]);
	return 0;
}

const char *options_runs(const char *given)
{
	const char *set = getenv("MUSTER_RUNS");
	return given ? given : set && *set ? set : "runs";
}
