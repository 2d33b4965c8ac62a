#include "base/mem.h"
#include "job/placeholders.h"
#include "job/plan_placeholders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct launch_role role = {.name = "worker", .first = 1, .nodes = 2, .ranks = 4};
static const struct launch launch = {.nodes = 3, .procs = 2, .size = 6};

// The text with the placeholders that the plan knows of this rank; owned by the caller.
static char *fill(const char *text, long rank, struct error *err)
{
	bool ports = false;
	struct plan_placeholders scope = {&launch, &role, rank, &ports, err};
	struct yaml node = {.file = "job.yaml", .line = 3, .column = 7};
	autojson json_t *filled = plan_placeholders_text(&scope, text, &node);
	return filled ? mem_strdup(json_string_value(filled)) : NULL;
}

// What the table says of who fills a placeholder is what happens.
static void test_who_fills(void **state)
{
	for (size_t i = 0; i < PLACEHOLDER_COUNT; i++) {
		struct error err = {0};
		autofree char *text = mem_printf("{%s}", placeholders[i].name), *filled = fill(text, 3, &err);
		assert_non_null(filled);
		assert_int_equal(*filled == '{', placeholders[i].filled_by == PLACEHOLDER_OF_NODE);
	}
}

static void test_of_a_rank(void **state)
{
	struct error err = {0};
	autofree char *text =
		fill("{rank} {local_rank} {node} {role} {index} {nodes} {size} {addr} {addr[2]}", 5, &err);
	assert_string_equal(text, "5 1 2 worker 3 3 6 {addr[2]} {addr[2]}");
}

static void test_of_a_setup_step(void **state)
{
	struct error err = {0};
	autofree char *text = fill("{node} {role} {index} {addr} {nodes} {port[1]}", -1, &err);
	assert_string_equal(text, "{node} {role} {index} {addr} 3 {port[1]}");
	for (size_t i = 0; i < PLACEHOLDER_COUNT; i++) { // the column of doc/jobfile.md is true
		autofree char *one = mem_printf("{%s}", placeholders[i].name), *filled = fill(one, -1, &err);
		assert_int_equal(filled != NULL, strcmp(placeholders[i].in_setup, "yes") == 0);
	}
}

static void test_errors(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"{addr[3]}", "job.yaml:3:7: found {addr[3]}, expected at most {addr[2]}: the number of nodes is 3"},
		{"{port[6]}", "job.yaml:3:7: found {port[6]}, expected at most {port[5]}: the number of ranks is 6"},
		{"{rank[0]}", "job.yaml:3:7: found {rank[0]}, expected {rank}, or {{rank[0]}} for the text itself"},
	};
	for (size_t i = 0; i < countof(cases); i++) {
		struct error err = {0};
		assert_null(fill(cases[i].text, 0, &err));
		assert_string_equal(err.text, cases[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_fills),
		cmocka_unit_test(test_of_a_rank),
		cmocka_unit_test(test_of_a_setup_step),
		cmocka_unit_test(test_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
