#include "base/mem.h"
#include "base/path_text.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *path, const char *text)
{
	autofree char *made = path_text_encode(path);
	assert_string_equal(made, text);
	autofree char *back = path_text_decode(text);
	assert_non_null(back);
	assert_string_equal(back, path);
}

static void test_both_ways(void **state)
{
	expect("", "");
	expect("dir/name with 'quotes' and $.txt", "dir/name with 'quotes' and $.txt");
	expect("caf\xc3\xa9.txt", "caf\xc3\xa9.txt");
	expect("caf\xe9.txt", "caf\\xe9.txt");
	expect("\xff\xfe", "\\xff\\xfe");
	expect("\xc3\xa9\xe9\xc3\xa9", "\xc3\xa9\\xe9\xc3\xa9");
	expect("cut \xe2\x82", "cut \\xe2\\x82");
	expect("surrogate \xed\xa0\x80", "surrogate \\xed\\xa0\\x80");
	expect("a\\xe9", "a\\x5cxe9");
	expect("two\nlines\x7f", "two\\x0alines\\x7f");
}

static void test_every_byte_comes_back(void **state)
{
	for (int high = 1; high < 256; high++)
		for (int low = 1; low < 256; low++) {
			char path[] = {'a', (char)high, (char)low, 'z', 0};
			autofree char *text = path_text_encode(path);
			assert_int_equal(str_utf8_valid(text, strlen(text)), strlen(text));
			autofree char *back = path_text_decode(text);
			assert_non_null(back);
			assert_string_equal(back, path);
		}
}

static void test_a_path_has_one_text(void **state)
{
	static const char *const bad[] = {"\\", "a\\", "\\x", "\\x4", "\\x00", "\\xE9", "\\xg0", "\\n", "\\x41", "\\\\",
		"caf\xe9", "a\nb", "\\xc3\\xa9"};
	for (size_t i = 0; i < countof(bad); i++)
		assert_null(path_text_decode(bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_every_byte_comes_back),
		cmocka_unit_test(test_a_path_has_one_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
