#include "base/mem.h"
#include "docker/dockerignore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void lines_decide(void **state)
{
	static const struct {
		const char *text, *path;
		bool out;
	} cases[] = {
		{"", "a", false},
		{"a", "a", true},
		{"a\n", "b/a", false},
		{"a", "a/b/c", true},
		{"/a/", "a/b", true},
		{"./a", "a", true},
		{"# a\n  a \r\n", "a", true},
		{"#a", "#a", false},
		{"*.o", "x.o", true},
		{"*.o", "d/x.o", false},
		{"*/*.o", "d/x.o", true},
		{"**/*.o", "x.o", true},
		{"**/*.o", "d/e/x.o", true},
		{"d/**", "d/e/x", true},
		{"d/**/x", "d/x", true},
		{"*\n!keep", "keep", false},
		{"*\n!keep", "other", true},
		{"!keep\n*", "keep", true},
		{"d\n!d/keep", "d/keep", false},
		{"d\n!d/keep", "d/other", true},
		{"[ab]?", "bc", true},
		{".", "a", false},
		{"\n\n", "a", false},
	};
	for (size_t i = 0; i < countof(cases); i++)
		if (dockerignore_match(cases[i].text, cases[i].path) != cases[i].out)
			fail_msg("'%s' and '%s'", cases[i].text, cases[i].path);
	assert_false(dockerignore_returns("a\nb!\n#!x"));
	assert_true(dockerignore_returns("a\n !b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lines_decide)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
