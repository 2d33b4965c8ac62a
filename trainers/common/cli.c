#include "common/cli.h"

#include "common/mem.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cli_usage(const struct cli *cli, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fprintf(stderr, "%s: %s; see %s --help\n", cli->program, text, cli->program);
	exit(2);
}

static void print_help(const struct cli *cli)
{
	printf("Usage: %s [OPTION...]\n%s\n\n", cli->program, cli->purpose);
	for (int i = 0; i < cli->count; i++) {
		const struct cli_row *r = &cli->rows[i];
		char left[60];
		snprintf(
			left, sizeof left, "--%s%s%s", r->name, r->argument ? " " : "", r->argument ? r->argument : "");
		printf("  %-18s %s", left, r->help);
		if (r->kind == CLI_NUMBER)
			printf(" (%ld)", r->initial);
		else if (r->kind == CLI_REAL)
			printf(" (%g)", r->real_initial);
		else if (r->kind == CLI_CHOICE)
			printf(" (%s)", r->names[r->initial]);
		putchar('\n');
	}
}

static long number(const struct cli *cli, const struct cli_row *r, const char *text)
{
	char *end;
	errno = 0;
	long n = strtol(text, &end, 10);
	if (end == text || *end || errno || n < r->low || n > r->high) {
		if (r->high == LONG_MAX)
			cli_usage(cli, "--%s is '%s', expected a whole number of at least %ld", r->name, text, r->low);
		cli_usage(cli, "--%s is '%s', expected a whole number from %ld to %ld", r->name, text, r->low, r->high);
	}
	return n;
}

static double real(const struct cli *cli, const struct cli_row *r, const char *text)
{
	char *end;
	errno = 0;
	double x = strtod(text, &end);
	if (end == text || *end || errno || !isfinite(x) || x <= 0)
		cli_usage(cli, "--%s is '%s', expected a number above 0", r->name, text);
	return x;
}

static int choice(const struct cli *cli, const struct cli_row *r, const char *text)
{
	char all[512] = "";
	for (int i = 0; r->names[i]; i++) {
		if (strcmp(text, r->names[i]) == 0)
			return i;
		size_t at = strlen(all);
		snprintf(all + at, sizeof all - at, "%s%s", i == 0 ? "" : r->names[i + 1] ? ", " : " or ", r->names[i]);
	}
	cli_usage(cli, "--%s is '%s', expected %s", r->name, text, all);
}

static void set(const struct cli *cli, const struct cli_row *r, void *into, const char *text)
{
	void *member = (char *)into + r->offset;
	switch (r->kind) {
	case CLI_NUMBER:
		*(long *)member = number(cli, r, text);
		break;
	case CLI_REAL:
		*(double *)member = real(cli, r, text);
		break;
	case CLI_CHOICE:
		*(int *)member = choice(cli, r, text);
		break;
	case CLI_FLAG:
		*(bool *)member = true;
		break;
	case CLI_TEXT:
		if (!*text)
			cli_usage(cli, "--%s is empty", r->name);
		*(const char **)member = text;
		break;
	case CLI_HELP:
		print_help(cli);
		exit(0);
	}
}

static void set_initial(const struct cli *cli, void *into)
{
	for (int i = 0; i < cli->count; i++) {
		const struct cli_row *r = &cli->rows[i];
		void *member = (char *)into + r->offset;
		if (r->kind == CLI_NUMBER)
			*(long *)member = r->initial;
		else if (r->kind == CLI_REAL)
			*(double *)member = r->real_initial;
		else if (r->kind == CLI_CHOICE)
			*(int *)member = (int)r->initial;
	}
}

void cli_parse(const struct cli *cli, void *into, int argc, char **argv)
{
	struct option *table = mem_new((size_t)cli->count + 1, sizeof *table);
	for (int i = 0; i < cli->count; i++)
		table[i] = (struct option){
			cli->rows[i].name, cli->rows[i].argument ? required_argument : no_argument, NULL, i + 1};
	set_initial(cli, into);
	opterr = 0;
	optind = 0; // GNU: start anew
	int c;
	while ((c = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		const char *word = argv[optind > 0 ? optind - 1 : 0];
		if (c == ':')
			cli_usage(cli, "option '%s' needs a value", word);
		if (c == '?')
			cli_usage(cli, "option '%s' is unknown, ambiguous, or takes no value", word);
		set(cli, &cli->rows[c - 1], into, optarg);
	}
	if (optind < argc)
		cli_usage(cli, "'%s' is not an option", argv[optind]);
	free(table);
}
