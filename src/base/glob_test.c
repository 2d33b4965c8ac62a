#include "base/clock.h"
#include "base/glob.h"
#include "base/mem.h"
#include "base/str.h"

#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool accepts(struct glob *glob, const char *path, bool stays)
{
	size_t size = glob_words(glob) * sizeof(uint64_t);
	autofree uint64_t *state = mem_alloc(size), *next = mem_alloc(size);
	autofree char *copy = mem_strdup(path);
	char *rest = copy;
	glob_start(glob, state);
	for (char *name; (name = strsep(&rest, "/"));) {
		glob_step(glob, state, name, stays || !rest, next);
		memcpy(state, next, size);
	}
	return glob_accepts(glob, state);
}

static bool matches(const char *pattern, const char *path)
{
	autojson json_t *list = mem_json("[s]", pattern);
	struct glob *glob = glob_new(list, NULL);
	assert_non_null(glob);
	bool found = accepts(glob, path, true);
	glob_free(glob);
	return found;
}

static void expect(const char *pattern, const char *yes, const char *no)
{
	for (int wanted = 0; wanted < 2; wanted++) {
		autofree char *copy = mem_strdup(wanted ? yes : no);
		char *rest = copy;
		for (char *path; (path = strsep(&rest, " "));)
			if (*path && matches(pattern, path) != wanted)
				fail_msg("'%s' %s '%s'", pattern, wanted ? "does not match" : "matches", path);
	}
}

static void test_names(void **state)
{
	expect("*", "a abc a.b", ".a a/b");
	expect(".*", ".a . ..", "a");
	expect("*.png", "a.png b.c.png", "png a.png.x .png .png.png");
	expect("a?c",
		"abc a\xc3\xa9"
		"c a\xe9"
		"c a.c",
		"ac abbc");
	expect("?a", "ba", ".a a");
	expect("[a-c]x", "ax bx cx", "dx .x x");
	expect("[!a-c]x", "dx", "ax .x");
	expect("[^a]x", "bx", "ax");
	expect("[]a]", "] a", "b");
	expect("[a-]", "- a", "b");
	expect("[[:digit:]x]", "1 9 x", "a d");
	expect("[\xc3\xa0-\xc3\xaf]", "\xc3\xa9", "\xc3\xb6 \xe9 a");
	expect("[a", "[a", "a");
	expect("\\*", "*", "a \\*");
	expect("a\\", "a\\", "a");
	expect("*a*b*", "ab xaxbx", "ba xbxax");
}

static void test_paths(void **state)
{
	expect("img/*.png", "img/1.png", "1.png img/a/1.png img");
	expect("*/*.png", "img/1.png", "1.png a/b/1.png .a/1.png");
	expect("**/x", "x a/x a/b/x .a/x", "x/a xa");
	expect("img/**", "img/x img/a/b img/.a", "img im/x");
	expect("**", "a a/b .a", "");
	expect("a/**/b", "a/b a/x/b a/x/y/b", "a/xb b a/b/c");
	expect("**/a/**/b/**", "a/b/c x/a/y/b/z/c", "a/b b/a/c");
	expect("./a//b/", "a/b", "a b");
	expect("*/", "a", "a/b");
	expect("a**b", "ab axxb", "a/b");
}

static void test_braces(void **state)
{
	expect("*.{png,jpg}", "a.png a.jpg", "a.gif a.{png,jpg}");
	expect("{a,b/{c,d}}/x", "a/x b/c/x b/d/x", "b/x c/x");
	expect("x{,y}", "x xy", "y");
	expect("{a}", "{a}", "a");
	expect("{a,b", "{a,b", "a");
	expect("\\{a,b}", "{a,b}", "a b");
	autostr struct str many = {0};
	for (int i = 0; i < 10; i++)
		str_puts(&many, "{a,b}");
	struct error err;
	assert_int_equal(glob_check(many.text, &err), -1);
	assert_non_null(strstr(err.text, "more than 1000"));
	many.text[5 * 9] = '\0';
	assert_int_equal(glob_check(many.text, &err), 0);
}

// As fnmatch has it, of names of a few letters.
static void test_like_fnmatch(void **state)
{
	static const char letters[] = "ab.*?[]a-b!";
	unsigned seed = 1;
	for (int round = 0; round < 200000; round++) {
		char pattern[8] = "", name[6] = "";
		for (size_t i = 0; i < 7; i++)
			pattern[i] = letters[(seed = seed * 1103515245 + 12345) / 65536 % (sizeof letters - 1)];
		for (size_t i = 0; i < 5; i++)
			name[i] = letters[(seed = seed * 1103515245 + 12345) / 65536 % 3];
		pattern[1 + round % 7] = name[1 + round / 7 % 5] = '\0';
		if (strcmp(pattern, "**") == 0 || strcmp(pattern, ".") == 0 || strstr(pattern, "[."))
			continue;
		if (matches(pattern, name) != (fnmatch(pattern, name, FNM_PERIOD) == 0))
			fail_msg("'%s' and '%s'", pattern, name);
	}
}

static void test_links_are_followed_by_name_only(void **state)
{
	autojson json_t *list = mem_json("[s, s]", "**/x", "*/y");
	struct glob *glob = glob_new(list, NULL);
	assert_true(accepts(glob, "l/x", true));
	assert_false(accepts(glob, "l/x", false));
	assert_true(accepts(glob, "l/y", false));
	glob_free(glob);
}

static void test_what_has_matched_nothing(void **state)
{
	autojson json_t *list = mem_json("[s, s, s]", "a*", "{b,c}", "d");
	struct glob *glob = glob_new(list, NULL);
	assert_true(accepts(glob, "c", true));
	assert_false(accepts(glob, "x", true));
	autojson json_t *left = glob_unmatched(glob), *want = mem_json("[s, s]", "a*", "d");
	assert_true(json_equal(left, want));
	glob_free(glob);
}

// Backtracking takes hours for these.
static void test_hard_patterns_take_no_time(void **state)
{
	autostr struct str pattern = {0}, path = {0}, stars = {0}, name = {0};
	for (int i = 0; i < 30; i++) {
		str_puts(&pattern, "**/a*/");
		str_puts(&stars, "*a");
	}
	str_puts(&pattern, "**/b");
	str_puts(&stars, "b");
	for (int i = 0; i < 200; i++) {
		str_puts(&path, "a/");
		str_puts(&name, "a");
	}
	str_puts(&path, "c");
	double start = clock_mono();
	assert_false(matches(pattern.text, path.text));
	assert_false(matches(stars.text, name.text));
	assert_true(clock_mono() - start < 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_braces),
		cmocka_unit_test(test_like_fnmatch),
		cmocka_unit_test(test_links_are_followed_by_name_only),
		cmocka_unit_test(test_what_has_matched_nothing),
		cmocka_unit_test(test_hard_patterns_take_no_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
