#include "base/mem.h"
#include "helper/setup_step.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

// What the steps do to a machine is tested from end to end; here are the first words of their process.

// Gives text in pieces of size bytes; what is left for the output is compared.
static void check_pieces(const char *text, size_t size, bool begun, const char *skipped, const char *output)
{
	struct setup_step_head head = {0};
	autostr struct str left = {0};
	size_t len = strlen(text);
	for (size_t at = 0; at < len; at += size) {
		size_t piece = len - at < size ? len - at : size;
		size_t took = setup_step_head_take(&head, text + at, piece);
		assert_true(took <= piece);
		str_add(&left, text + at + took, piece - took);
	}
	assert_int_equal(head.begun, begun);
	assert_string_equal(head.skipped ? head.skipped : "", skipped);
	assert_string_equal(left.text ? left.text : "", output);
	setup_step_head_fini(&head);
}

static void test_first_words(void **state)
{
	for (size_t size = 1; size < 100; size++) {
		check_pieces("muster-step begun\none\ntwo", size, true, "", "one\ntwo");
		check_pieces("muster-step begun\n", size, true, "", "");
		check_pieces("sudo: unable to resolve host a\nmuster-step begun\nx\n", size, true, "", "x\n");
		check_pieces("muster-step skipped 'a b' is there\n", size, true, "'a b' is there", "");
		check_pieces("muster-step begun\nmuster-step skipped no\n", size, true, "", "muster-step skipped no\n");
		check_pieces("sudo: a password is required\n", size, false, "", "");
		check_pieces("so it said: muster-step begun\nmuster-step", size, false, "", "");
	}
}

static void test_endless_words(void **state)
{
	struct setup_step_head head = {0};
	char noise[4096];
	size_t took = 0;
	memset(noise, 'x', sizeof noise);
	for (size_t i = 0; i < 100; i++)
		took += setup_step_head_take(&head, noise, sizeof noise);
	assert_true(took < 100 * sizeof noise);
	assert_int_equal(head.text.len, took);
	assert_false(head.begun);
	setup_step_head_fini(&head);
}

static void test_creates(void **state)
{
	autojson json_t *there = mem_json("{s:s, s:s}", "dir", "/proc", "creates", "self/stat");
	autojson json_t *missing = mem_json("{s:s, s:s}", "dir", "/proc", "creates", "self/no");
	autojson json_t *absolute = mem_json("{s:s, s:s}", "dir", "/nowhere", "creates", "/proc");
	autojson json_t *none = mem_json("{s:s}", "dir", "/proc");
	autofree char *why = setup_step_is_done(there), *other = setup_step_is_done(absolute);
	assert_string_equal(why, "'self/stat' is there");
	assert_string_equal(other, "'/proc' is there");
	assert_null(setup_step_is_done(missing));
	assert_null(setup_step_is_done(none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_words),
		cmocka_unit_test(test_endless_words),
		cmocka_unit_test(test_creates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
