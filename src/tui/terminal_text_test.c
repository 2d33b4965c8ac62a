#include "tui/terminal_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_glyphs(const char *text, size_t columns, const char *expected, size_t used)
{
	autostr struct str out = {0};
	assert_int_equal(terminal_text_add(&out, text, strlen(text), columns), used);
	assert_string_equal(out.text ? out.text : "", expected);
}

static void test_plain(void **state)
{
	assert_glyphs("", 10, "", 0);
	assert_glyphs("hello", 10, "hello", 5);
	assert_glyphs("hello", 5, "hello", 5);
	assert_glyphs("hello", 4, "hel~", 4);
	assert_glyphs("hello", 1, "~", 1);
	assert_glyphs("hello", 0, "", 0);
	assert_glyphs("a\tb", 20, "a       b", 9);
}

static void test_escapes(void **state)
{
	assert_glyphs("\033[31;1mred\033[0m", 10, "red", 3);
	assert_glyphs("\033]0;title\007a\033]8;;x\033\\b", 10, "ab", 2);
	assert_glyphs("up\033[5A\033[2J\033[?1049h", 10, "up", 2);
	assert_glyphs("\033(Bx\033Mz\033", 10, "xz", 2);
	assert_glyphs("\033[12", 10, "", 0);
	assert_glyphs("\033]never ends", 10, "", 0);
	assert_glyphs("a\001\002\b\a\177b", 10, "ab", 2);
}

static void test_overwritten(void **state)
{
	assert_glyphs("10 %\r20 %\r30 %", 10, "30 %", 4);
	assert_glyphs("10 %\r20 %\r\n", 10, "20 %", 4);
	assert_glyphs("\r\r\n", 10, "", 0);
}

static void test_wide(void **state)
{
	assert_glyphs("日本", 4, "日本", 4);
	assert_glyphs("日本", 3, "日~", 3);
	assert_glyphs("日本", 2, "~", 1);
	assert_glyphs("e\u0301x", 2, "e\u0301x", 2);
	assert_glyphs("\xff\xfe", 10, "??", 2);
	assert_glyphs("\xe6\x97", 10, "??", 2);
	assert_glyphs("a\u202eb\u2066c", 10, "abc", 3); // turns nothing around
	assert_glyphs("\xc2\x85x", 10, "?x", 2);
}

static void test_width(void **state)
{
	const char *text = "\033[1m日\033[0m a";
	assert_int_equal(terminal_text_width(text, strlen(text)), 4);
	assert_int_equal(terminal_text_width(NULL, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_overwritten),
		cmocka_unit_test(test_wide),
		cmocka_unit_test(test_width),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
