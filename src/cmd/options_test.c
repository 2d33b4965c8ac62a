#include "base/fs.h"
#include "base/mem.h"
#include "cmd/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static bool flag;
static const char *value, *runs;
static struct options_list list;

static const struct option_row rows[] = {{"follow", 'f', NULL, "go on", &flag},
	{"number", 'n', "N", "how many", &value}, {"json", 0, NULL, "as JSON", &flag},
	{"set", 's', "*X", "any number of them", &list}, OPTIONS_RUNS(&runs), {0}};

static const struct options_usage none = {.about = "Does nothing."},
				  any = {.arguments = "[X]...", .most = OPTIONS_ANY, .about = "Does it."},
				  two = {.arguments = "FROM [TO]", .least = 1, .most = 2, .about = "Copies."},
				  command = {.arguments = "RUN",
					  .least = 1,
					  .most = 1,
					  .command = "COMMAND [ARGUMENT]...",
					  .about = "Runs it."};

static int parse(const struct options_usage *usage, const char *line, char **words, struct error *err)
{
	static char copy[256];
	strcpy(copy, line);
	int argc = 0;
	char *rest = copy;
	while ((words[argc] = strsep(&rest, " ")))
		argc++;
	flag = false;
	value = runs = NULL;
	return options_parse(argc, words, usage, rows, err);
}

static void test_values_and_arguments(void **state)
{
	struct error err = {0};
	char *words[20];
	assert_int_equal(parse(&any, "demo a --number=3 b -f", words, &err), 3);
	assert_true(flag);
	assert_string_equal(value, "3");
	assert_string_equal(words[3], "a");
	assert_string_equal(words[4], "b");
	assert_null(words[5]);
	assert_int_equal(parse(&any, "demo -n 5 -n 6", words, &err), 5);
	assert_string_equal(value, "6");
	assert_false(flag);
	assert_int_equal(parse(&any, "demo --num 7", words, &err), 3); // a beginning that is unique
	assert_string_equal(value, "7");
	assert_int_equal(parse(&any, "demo -- --json", words, &err), 2);
	assert_false(flag);
	assert_string_equal(words[2], "--json");
}

static void test_lists(void **state)
{
	struct error err = {0};
	char *words[20];
	assert_int_equal(parse(&any, "demo -s a b --set=c --set d", words, &err), 6);
	assert_int_equal(list.count, 3);
	assert_string_equal(list.items[0], "a");
	assert_string_equal(list.items[2], "d");
	assert_string_equal(words[6], "b");
	free(list.items);
	list = (struct options_list){0};
}

static void expect(const struct options_usage *usage, const char *line, const char *text)
{
	struct error err = {0};
	char *words[20];
	assert_int_equal(parse(usage, line, words, &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
	assert_string_equal(err.text, text);
}

static void test_wrong_options(void **state)
{
	expect(&any, "demo --folow",
		"demo: unknown option '--folow', did you mean '--follow'?; see `muster demo --help`");
	expect(&any, "demo --zzzzzzzz", "demo: unknown option '--zzzzzzzz'; see `muster demo --help`");
	expect(&any, "demo -x", "demo: unknown option '-x'; see `muster demo --help`");
	expect(&any, "demo -n", "demo: '-n' needs a value");
	expect(&any, "demo --number", "demo: '--number' needs a value");
	expect(&any, "demo --json=1", "demo: --json takes no value, found '--json=1'");
	expect(&command, "demo run --number", "demo: '--number' needs a value");
}

static void test_number_of_arguments(void **state)
{
	struct error err = {0};
	char *words[20];
	assert_int_equal(parse(&none, "demo -f", words, &err), 2);
	assert_int_equal(parse(&two, "demo a", words, &err), 1);
	assert_null(words[2]);
	assert_int_equal(parse(&two, "demo a -f b", words, &err), 2);
	expect(&none, "demo x", "demo: unexpected argument 'x', expected `muster demo`");
	expect(&two, "demo", "demo: missing argument, expected `muster demo FROM [TO]`");
	expect(&two, "demo a b c d", "demo: unexpected argument 'c', expected `muster demo FROM [TO]`");
}

// Whatever stands behind the command's first word is the command's.
static void test_command(void **state)
{
	static const char *const lines[] = {"demo r -- ls -f", "demo r ls -f", "demo -n 1 r -- ls -f",
		"demo r -n 1 -- ls -f", "demo r --number=1 ls -f", "demo -n -- r ls -f"};
	for (size_t i = 0; i < countof(lines); i++) {
		struct error err = {0};
		char *words[20];
		int first = parse(&command, lines[i], words, &err);
		assert_in_range(first, 1, 10);
		assert_string_equal(words[first], "r");
		assert_string_equal(words[first + 1], "ls");
		assert_string_equal(words[first + 2], "-f");
		assert_null(words[first + 3]);
		assert_false(flag);
		assert_true(!value == !strstr(lines[i], "-n"));
	}
	struct error err = {0};
	char *words[20];
	assert_int_equal(parse(&command, "demo r -- -- -f", words, &err), 2);
	assert_string_equal(words[3], "--");
	static const char missing[] = "demo: missing argument, expected `muster demo RUN -- COMMAND [ARGUMENT]...`";
	expect(&command, "demo", missing);
	expect(&command, "demo r", missing);
	expect(&command, "demo r --", missing);
	expect(&command, "demo -- ls", missing);
}

static void test_runs(void **state)
{
	static const struct {
		const char *variable, *line, *dir;
	} cases[] = {
		{NULL, "demo", "runs"},
		{"/elsewhere", "demo", "/elsewhere"},
		{"/elsewhere", "demo --runs here", "here"},
		{"", "demo", "runs"},
	};
	for (size_t i = 0; i < countof(cases); i++) {
		struct error err = {0};
		char *words[20];
		if (cases[i].variable)
			setenv("MUSTER_RUNS", cases[i].variable, 1);
		else
			unsetenv("MUSTER_RUNS");
		assert_true(parse(&any, cases[i].line, words, &err) > 0);
		assert_string_equal(runs, cases[i].dir);
	}
	unsetenv("MUSTER_RUNS");
}

// What --help prints; owned by the caller.
static char *help(const struct options_usage *usage, const struct option_row *table)
{
	char path[] = "/tmp/muster-options-XXXXXX", *argv[] = {"demo", "--help", NULL};
	struct error err = {0};
	autoclose int file = mkstemp(path), before = dup(STDOUT_FILENO);
	fflush(stdout);
	dup2(file, STDOUT_FILENO);
	int rc = options_parse(2, argv, usage, table, &err);
	fflush(stdout);
	dup2(before, STDOUT_FILENO);
	char *text = fs_read(path, 1 << 20, NULL, &err);
	unlink(path);
	assert_int_equal(rc, 0);
	assert_non_null(text);
	return text;
}

static void test_help(void **state)
{
	static const struct options_usage usage = {.arguments = "[RUN]",
		.about = "A sentence that is longer than a line of the terminal can hold is broken between two "
			 "words.\n\n"
			 "A second paragraph."};
	static const struct option_row table[] = {{"follow", 'f', NULL, "go on", &flag},
		{"set", 0, "*PATH=VALUE", "a text that is too long for the rest of the line, so it is broken too",
			&list},
		{"an-option-of-many-letters", 'a', "VALUE", "has a line of its own", &value}, {0}};
	autofree char *text = help(&usage, table), *with = help(&command, &table[3]);
	assert_string_equal(text, "usage: muster demo [OPTION]... [RUN]\n\n"
				  "A sentence that is longer than a line of the terminal can hold is broken between\n"
				  "two words.\n\n"
				  "A second paragraph.\n\n"
				  "  -f, --follow          go on\n"
				  "      --set PATH=VALUE  a text that is too long for the rest of the line, so it\n"
				  "                        is broken too\n"
				  "  -a, --an-option-of-many-letters VALUE\n"
				  "                        has a line of its own\n"
				  "  -h, --help            print this text\n");
	assert_string_equal(with, "usage: muster demo [OPTION]... RUN -- COMMAND [ARGUMENT]...\n\nRuns it.\n\n"
				  "  -h, --help  print this text\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_and_arguments),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_wrong_options),
		cmocka_unit_test(test_number_of_arguments),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_help),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
