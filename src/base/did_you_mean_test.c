#include "base/did_you_mean.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = {"run", "plan", "status", "follow", "volumes", "up", "cp", NULL};

static void test_close(void **state)
{
	static const struct {
		const char *word, *name;
	} cases[] = {
		{"rnu", "run"},         // a swap is one error
		{"rn", "run"},          // a missing letter
		{"runn", "run"},        // one too many
		{"PLAN", "plan"},       // case does not count
		{"sttaus", "status"},   // a swap inside
		{"folow", "follow"},    //
		{"volmues", "volumes"}, //
		{"statsu", "status"},   // a swap at the end
	};
	for (size_t i = 0; i < countof(cases); i++) {
		const char *name = did_you_mean(cases[i].word, names);
		assert_non_null(name);
		assert_string_equal(name, cases[i].name);
	}
}

static void test_far(void **state)
{
	static const char *const words[] = {"", "u", "ls", "ur", "plug", "actions", "folder", "statistics"};
	for (size_t i = 0; i < countof(words); i++)
		assert_null(did_you_mean(words[i], names));
	char longest[200] = {0};
	memset(longest, 'x', sizeof longest - 1);
	const char *const long_names[] = {longest, NULL};
	assert_null(did_you_mean(longest, long_names));
	assert_null(did_you_mean("run", long_names));
}

static void test_closest_counts(void **state)
{
	static const char *const near[] = {"hosts", "host", "most", NULL};
	assert_string_equal(did_you_mean("host", near), "host");
	assert_string_equal(did_you_mean("hostss", near), "hosts");
}

static void test_elsewhere(void **state)
{
	static const char *const other[] = {"options", "nodes", NULL};
	assert_string_equal(did_you_mean("actions", other), "options");
	assert_null(did_you_mean_elsewhere("actions", other));
	assert_string_equal(did_you_mean_elsewhere("nodse", other), "nodes");
	assert_string_equal(did_you_mean_elsewhere("options", other), "options");
}

static void test_text(void **state)
{
	autofree char *text = did_you_mean_text(" (", "run", ")"), *none = did_you_mean_text(" (", NULL, ")");
	assert_string_equal(text, " (did you mean 'run'?)");
	assert_string_equal(none, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_far),
		cmocka_unit_test(test_closest_counts),
		cmocka_unit_test(test_elsewhere),
		cmocka_unit_test(test_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
