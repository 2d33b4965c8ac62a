#include "base/mem.h"
#include "job/placeholders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *look_up(const char *name, long index, void *data, struct error *err)
{
	if (strcmp(name, "rank") == 0)
		return mem_strdup("7");
	if (strcmp(name, "braces") == 0)
		return mem_strdup("{rank}");
	if (strcmp(name, "local_rank") == 0)
		return mem_strdup("");
	if (strcmp(name, "addr") != 0)
		return NULL;
	if (index > 1)
		error_set(err, ERROR_USAGE, "no {addr[%ld]}", index);
	return index > 1 ? NULL : mem_printf("<%ld>", index);
}

static void check(const char *text, const char *first, const char *last)
{
	autofree char *a = placeholders_expand_text(text, 0, look_up, NULL, NULL),
		      *b = placeholders_expand_text(text, 1, look_up, NULL, NULL);
	assert_string_equal(a, first);
	assert_string_equal(b, last);
}

static void same(const char *text)
{
	check(text, text, text);
}

static void test_known(void **state)
{
	check("", "", "");
	check("{rank}", "7", "7");
	check("a{rank}b{rank}{rank}", "a7b77", "a7b77");
	check("{addr}{addr[0]} {addr[1]}", "<-1><0> <1>", "<-1><0> <1>");
	check("[{local_rank}]", "[]", "[]");
	check("{{a: {rank}}", "{{a: 7}", "{{a: 7}");
	check("{braces}", "{rank}", "{rank}"); // a value is not expanded again
}

static void test_unknown_stays(void **state)
{
	same("{unknown} {data} {port[3]}");
	same("{} { {{ }} { rank } {RANK} {rank {rank[} {rank[0} {rank[]} {rank[x]} {rank[-1]} {addr[0]");
	same("{\"a\": {\"rank\": {}}}");
	same("awk '{print $1; n++} END {print n}'");
	same("{a_name_that_is_longer_than_any_placeholder}");
	same("{addr[1234567890]}");
}

static void test_shell_variables_stay(void **state)
{
	same("${rank} $${rank} x${rank}y ${addr[0]} $");
	check("$ {rank} ${rank}{rank}", "$ 7 ${rank}7", "$ 7 ${rank}7");
}

static void test_doubled(void **state)
{
	check("{{rank}}", "{{rank}}", "{rank}");
	check("{{addr[99]}} {{unknown}}", "{{addr[99]}} {{unknown}}", "{addr[99]} {unknown}");
	check("{{{rank}}}", "{{{rank}}}", "{{rank}}");
	check("{{rank}", "{7", "{7");
}

static void test_errors(void **state)
{
	struct error err = {0};
	assert_null(placeholders_expand_text("x {addr[2]} y", 0, look_up, NULL, &err));
	assert_string_equal(err.text, "no {addr[2]}");
	assert_int_equal(err.code, ERROR_USAGE);
	assert_null(placeholders_expand_text("{addr[2]}", 0, look_up, NULL, NULL));
}

static void test_tree(void **state)
{
	autojson json_t *tree = mem_json("{s:[s, i, {s:s}], s:s, s:n, s:b}", "{rank}", "a{rank}", 1, "k", "{addr[1]}",
		"b", "{{rank}}", "c", "d", 1);
	autojson json_t *want =
		mem_json("{s:[s, i, {s:s}], s:s, s:n, s:b}", "{rank}", "a7", 1, "k", "<1>", "b", "{rank}", "c", "d", 1);
	assert_int_equal(placeholders_expand_tree(tree, 1, look_up, NULL, NULL), 0);
	assert_true(json_equal(tree, want));
	autojson json_t *wrong = mem_json("[[s]]", "{addr[5]}");
	struct error err = {0};
	assert_int_equal(placeholders_expand_tree(wrong, 1, look_up, NULL, &err), -1);
	assert_string_equal(err.text, "no {addr[5]}");
}

static void test_table(void **state)
{
	for (size_t i = 0; i < PLACEHOLDER_COUNT; i++) {
		const struct placeholder *p = &placeholders[i];
		assert_int_equal(p->id, i); // each has a row
		assert_ptr_equal(placeholders_find(p->name), p);
		assert_true(*p->help && *p->in_setup);
	}
	assert_null(placeholders_find("rnak"));
	assert_null(placeholders_find(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_unknown_stays),
		cmocka_unit_test(test_shell_variables_stay),
		cmocka_unit_test(test_doubled),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_tree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
