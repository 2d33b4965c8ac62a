#include "base/clock.h"
#include "base/mem.h"
#include "base/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_groups(void **state)
{
	struct error err = {0};
	struct regex *p = regex_new("step (?<step>\\d+)(?: of (\\d+))? (?<word>\\w+)", &err);
	assert_non_null(p);
	assert_int_equal(regex_groups(p), 3);
	int step = regex_group(p, "step");
	assert_int_equal(step, 1);
	assert_int_equal(regex_group(p, "nobody"), 0);
	static const char line[] = "at step 17 done, and more";
	assert_true(regex_find(p, line, strlen(line)));
	double value;
	assert_true(regex_number(p, step, &value));
	assert_float_equal(value, 17, 0);
	size_t len;
	assert_null(regex_text(p, 2, &len)); // took no part
	assert_false(regex_number(p, 2, &value));
	assert_false(regex_number(p, 3, &value)); // no number
	assert_false(regex_number(p, 0, &value));
	assert_null(regex_text(p, 4, &len));
	const char *word = regex_text(p, regex_group(p, "word"), &len);
	assert_int_equal(len, 4);
	assert_memory_equal(word, "done", 4);
	assert_false(regex_find(p, line, 9)); // no further than it was told
	regex_free(p);
	regex_free(NULL);
}

static void test_numbers(void **state)
{
	struct error err = {0};
	struct regex *p = regex_new("v=(\\S+)", &err);
	double value;
	assert_true(regex_find(p, "v=-2.5e-3", 9));
	assert_true(regex_number(p, 1, &value));
	assert_float_equal(value, -0.0025, 1e-12);
	static const char *const none[] = {"v=nan", "v=inf", "v=1e999", "v=x"};
	for (size_t i = 0; i < countof(none); i++) {
		assert_true(regex_find(p, none[i], strlen(none[i])));
		assert_false(regex_number(p, 1, &value));
	}
	char digits[100] = "v=";
	memset(digits + 2, '1', 90);
	assert_true(regex_find(p, digits, strlen(digits)));
	assert_false(regex_number(p, 1, &value)); // nobody prints such a number
	regex_free(p);
}

static void test_errors(void **state)
{
	struct error err = {0};
	assert_null(regex_new("a(b", &err));
	assert_int_equal(err.code, ERROR_USAGE);
	assert_non_null(strstr(err.text, "at character 4: "));
}

static void test_it_gives_up(void **state)
{
	struct error err = {0};
	struct regex *p = regex_new("(a+)+$", &err);
	char line[41];
	memset(line, 'a', 40);
	line[40] = 'b';
	double before = clock_mono();
	assert_false(regex_find(p, line, 41));
	assert_true(clock_mono() - before < 2);
	regex_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_it_gives_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
