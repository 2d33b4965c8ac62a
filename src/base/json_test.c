#include "base/json.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static json_t *sample(void)
{
	return mem_json("{s:s, s:i, s:f, s:b, s:b, s:n, s:[ss]}", "text", "some", "whole", 7, "real", 2.5, "yes", 1,
		"no", 0, "null", "list", "a", "b");
}

static void test_members(void **state)
{
	autojson json_t *o = sample();
	assert_string_equal(json_text(o, "text"), "some");
	assert_string_equal(json_text_or(o, "text", "other"), "some");
	assert_float_equal(json_number(o, "real"), 2.5, 0);
	assert_float_equal(json_number(o, "whole"), 7, 0);
	assert_int_equal(json_int(o, "whole"), 7);
	assert_true(json_flag(o, "yes"));
	assert_true(json_is(o, "text", "some"));
	assert_true(json_has(o, "no"));
	assert_int_equal(json_whole(o, "whole"), 7);
	assert_int_equal(json_count(o, "list"), 2);
}

// Of another type, null, not there, of no object, of nothing.
static void test_nothing(void **state)
{
	static const char *const texts[] = {"whole", "real", "yes", "null", "list", "missing"};
	static const char *const numbers[] = {"text", "yes", "null", "list", "missing"};
	autojson json_t *o = sample();
	for (size_t i = 0; i < countof(texts); i++) {
		assert_null(json_text(o, texts[i]));
		assert_string_equal(json_text_or(o, texts[i], "other"), "other");
		assert_false(json_is(o, texts[i], "some"));
	}
	for (size_t i = 0; i < countof(numbers); i++) {
		assert_float_equal(json_number(o, numbers[i]), 0, 0);
		assert_int_equal(json_int(o, numbers[i]), 0);
		assert_int_equal(json_whole(o, numbers[i]), -1);
	}
	assert_int_equal(json_int(o, "real"), 0);
	assert_false(json_flag(o, "no"));
	assert_false(json_flag(o, "whole"));
	assert_false(json_has(o, "null"));
	assert_int_equal(json_count(o, "text"), 0);
	assert_null(json_text(NULL, "text"));
	assert_null(json_text(json_object_get(o, "list"), "text"));
	assert_false(json_flag(NULL, "yes"));
	assert_int_equal(json_int(NULL, "whole"), 0);
}

static void test_whole_is_bounded(void **state)
{
	autojson json_t *o = mem_json("{s:i, s:i, s:i}", "last", JSON_NUMBERS - 1, "over", JSON_NUMBERS, "below", -1);
	assert_int_equal(json_whole(o, "last"), JSON_NUMBERS - 1);
	assert_int_equal(json_whole(o, "over"), -1);
	assert_int_equal(json_whole(o, "below"), -1);
}

static void test_texts(void **state)
{
	autojson json_t *texts = mem_json("[s, i, s]", "a", 1, "b");
	assert_true(json_contains(texts, "b"));
	assert_false(json_contains(texts, "c"));
	assert_false(json_contains(NULL, "a"));
	json_add_once(texts, "b");
	assert_int_equal(json_array_size(texts), 3);
	json_add_once(texts, "c");
	json_add_once(texts, "c");
	assert_int_equal(json_array_size(texts), 4);
	assert_string_equal(json_string_value(json_array_get(texts, 3)), "c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_whole_is_bounded),
		cmocka_unit_test(test_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
