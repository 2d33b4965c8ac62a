#include "base/mem.h"
#include "cmd/cmd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

// What it prints is in tests/golden and tests/e2e; here is what it refuses.
static void test_refused(void **state)
{
	static const struct {
		char *argv[6];
		const char *why;
	} cases[] = {
		{{"plan"}, "plan: missing argument, expected `muster plan JOB`"},
		{{"plan", "a.yaml", "b.yaml"}, "plan: unexpected argument 'b.yaml', expected `muster plan JOB`"},
		{{"plan", "a.yaml", "--set"}, "plan: '--set' needs a value"},
		{{"plan", "--sites", "a.yaml"}, "plan: unknown option '--sites'"},
		{{"plan", "/nonexistent/a.yaml"}, "/nonexistent/a.yaml"},
		{{"plan", "--site", "/nonexistent/site.yaml", "/nonexistent/a.yaml"}, "/nonexistent/site.yaml"},
		{{"plan", "/dev/null", "-s", "run.nodse=3"}, "/dev/null:1:1: found nothing"},
	};
	for (size_t i = 0; i < countof(cases); i++) {
		struct error err = {0};
		char *argv[7] = {NULL}; // getopt_long moves words
		int argc = 0;
		for (; argc < 6 && cases[i].argv[argc]; argc++)
			argv[argc] = cases[i].argv[argc];
		assert_int_equal(cmd_plan(argc, argv, &err), -1);
		assert_int_equal(err.code, ERROR_USAGE);
		assert_non_null(strstr(err.text, cases[i].why));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
