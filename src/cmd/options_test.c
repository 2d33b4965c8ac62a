#include "base/mem.h"
#include "cmd/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool flag;
static const char *value;
static struct options_list list;

static int parse(const char *line, char **words, struct error *err)
{
	static const struct option_row rows[] = {{"follow", 'f', NULL, "go on", &flag},
		{"number", 'n', "N", "how many", &value}, {"json", 0, NULL, "as JSON", &flag},
		{"set", 's', "*X", "any number of them", &list}, {0}};
	static char copy[256];
	strcpy(copy, line);
	int argc = 0;
	char *rest = copy;
	while ((words[argc] = strsep(&rest, " ")))
		argc++;
	flag = false;
	value = NULL;
	return options_parse(argc, words, "demo", rows, err);
}

static void test_values_and_operands(void **state)
{
	struct error err = {0};
	char *words[20];
	assert_int_equal(parse("demo a --number=3 b -f", words, &err), 3);
	assert_true(flag);
	assert_string_equal(value, "3");
	assert_string_equal(words[3], "a");
	assert_string_equal(words[4], "b");
	assert_int_equal(parse("demo -n 5 -n 6", words, &err), 5);
	assert_string_equal(value, "6");
	assert_false(flag);
	assert_int_equal(parse("demo -- --json", words, &err), 2);
	assert_false(flag);
	const char *operand;
	assert_int_equal(options_operand(3, words, 2, &operand, &err), 0);
	assert_string_equal(operand, "--json");
	assert_int_equal(options_operand(2, words, 2, &operand, &err), 0);
	assert_null(operand);
	char *two[] = {"demo", "x", "y"};
	assert_int_equal(options_operand(3, two, 1, &operand, &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
}

static void test_lists(void **state)
{
	struct error err = {0};
	char *words[20];
	assert_int_equal(parse("demo -s a b --set=c --set d", words, &err), 6);
	assert_int_equal(list.count, 3);
	assert_string_equal(list.items[0], "a");
	assert_string_equal(list.items[2], "d");
	assert_string_equal(words[6], "b");
	free(list.items);
	list = (struct options_list){0};
}

static void test_wrong_ones(void **state)
{
	static const struct {
		const char *line, *why;
	} cases[] = {
		{"demo --folow", "did you mean '--follow'"},
		{"demo -x", "unknown option '-x'"},
		{"demo -n", "'-n' needs a value"},
		{"demo --number", "'--number' needs a value"},
		{"demo --json=1", "takes no value"},
		{"demo --zzzzzzzz", "unknown option '--zzzzzzzz';"},
	};
	for (size_t i = 0; i < countof(cases); i++) {
		struct error err = {0};
		char *words[20];
		assert_int_equal(parse(cases[i].line, words, &err), -1);
		assert_int_equal(err.code, ERROR_USAGE);
		if (!strstr(err.text, cases[i].why))
			fail_msg("'%s' lacks '%s'", err.text, cases[i].why);
	}
}

static void test_runs(void **state)
{
	unsetenv("MUSTER_RUNS");
	assert_string_equal(options_runs(NULL), "runs");
	setenv("MUSTER_RUNS", "/elsewhere", 1);
	assert_string_equal(options_runs(NULL), "/elsewhere");
	assert_string_equal(options_runs("here"), "here");
	setenv("MUSTER_RUNS", "", 1);
	assert_string_equal(options_runs(NULL), "runs");
	unsetenv("MUSTER_RUNS");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_and_operands),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_wrong_ones),
		cmocka_unit_test(test_runs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
