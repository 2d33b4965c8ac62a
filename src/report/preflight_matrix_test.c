#include "base/mem.h"
#include "report/preflight_matrix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void look(json_t *list, int node, const char *rows)
{
	json_array_append_new(list, mem_json("{s:i, s:o}", "node", node, "rows", json_loads(rows, 0, NULL)));
}

static void test_matrix(void **state)
{
	json_t *list = json_array();
	look(list, 0, "[{\"to\": 1, \"ok\": true, \"latency\": 0.00002}]");
	look(list, 1, "[{\"to\": 0, \"ok\": true, \"latency\": 0.0305}]");
	look(list, 0, "[{\"to\": 1, \"ok\": true, \"latency\": 0.00004, \"bandwidth\": 2097152}]");
	autojson json_t *report = mem_json("{s:o}", "preflight", list);
	autofree char *text = preflight_matrix_text(report);
	assert_string_equal(text, "LATENCY        0      1\n"
				  "node 0         -  40 us\n"
				  "node 1   30.5 ms      -\n"
				  "\n"
				  "BANDWIDTH  0          1\n"
				  "node 0     -  2.0 MiB/s\n"
				  "node 1     -          -\n");
}

static void test_many_nodes_give_the_slowest(void **state)
{
	json_t *list = json_array();
	for (int n = 0; n < 40; n++) {
		autofree char *rows = mem_printf("[{\"to\": %d, \"latency\": %g}]", (n + 1) % 40, n == 7 ? 0.9 : 0.001);
		look(list, n, rows);
	}
	autojson json_t *report = mem_json("{s:o}", "preflight", list);
	autofree char *text = preflight_matrix_text(report);
	assert_non_null(strstr(text, "the slowest of 40 pairs"));
	assert_non_null(strstr(text, "node 7   node 8   900.0 ms"));
	assert_ptr_equal(strstr(strstr(text, "900.0 ms"), "900.0 ms"), strstr(text, "900.0 ms"));
}

// All pairs of so many nodes, looked at twice: each is found without a look at all others.
static void test_many_pairs(void **state)
{
	enum { NODES = 700 };
	autojson json_t *list = json_array(), *report = mem_json("{s:O}", "preflight", list);
	for (int n = 0; n < 2 * NODES; n++) {
		json_t *rows = json_array();
		for (int to = 0; to < NODES; to++)
			if (to != n % NODES)
				json_array_append_new(rows, mem_json("{s:i, s:f}", "to", to, "latency",
								    n == NODES + 7 && to == 8 ? 0.9 : 0.1));
		json_array_append_new(list, mem_json("{s:i, s:o}", "node", n % NODES, "rows", rows));
	}
	autofree char *text = preflight_matrix_text(report);
	assert_non_null(strstr(text, "the slowest of 489300 pairs"));
	assert_non_null(strstr(text, "900.0 ms"));
}

static void test_nothing(void **state)
{
	autojson json_t *report = json_object();
	autofree char *text = preflight_matrix_text(report);
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_many_nodes_give_the_slowest), cmocka_unit_test(test_many_pairs),
		cmocka_unit_test(test_nothing)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
