#include "base/mem.h"
#include "node/preflight_verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void row(const char *text, const char *failure, const char *warning)
{
	autojson json_t *tree = json_loads(text, 0, NULL);
	autofree char *fails = NULL, *warns = NULL;
	assert_non_null(tree);
	preflight_verdict_row(tree, &fails, &warns);
	assert_true(!fails == !failure && !warns == !warning);
	if (failure)
		assert_string_equal(fails, failure);
	if (warning)
		assert_string_equal(warns, warning);
}

static void test_rows(void **state)
{
	row("{\"to\": 1, \"ok\": true, \"latency\": 0.001, \"offset\": 0.4}", NULL, NULL);
	row("{\"to\": 1, \"ok\": true, \"latency\": 0.001, \"offset\": -2}", NULL,
		"the clock of node 1 differs by -2.000 s");
	row("{\"to\": 1, \"ok\": true, \"latency\": 3, \"offset\": -2}", NULL, NULL); // not known better than that
	row("{\"to\": 1, \"ok\": false, \"why\": \"no answer\", \"offset\": 9}", "no answer", NULL);
	row("{}", "a node cannot be reached", NULL);
}

static void test_room(void **state)
{
	autojson json_t *enough = mem_json("{s:i, s:i}", "disk", 16 << 20, "memory", 16 << 20),
			*little = mem_json("{s:i, s:i}", "disk", 1 << 30, "memory", 1 << 20), *none = json_object();
	assert_null(preflight_verdict_room(enough, 0, "/d"));
	assert_null(preflight_verdict_room(none, 0, "/d"));
	autofree char *why = preflight_verdict_room(little, 7, "/d");
	assert_non_null(why);
	assert_non_null(strstr(why, "node 7 has only"));
	assert_non_null(strstr(why, "of memory free in '/d'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_room)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
