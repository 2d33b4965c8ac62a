#include "base/mem.h"
#include "controller/budget.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// Two nodes, each a hundredth a second.
static json_t *plan_of(const char *budget)
{
	json_t *plan = mem_json("{s:s, s:[{}, {}], s:{s:[{s:s, s:f, s:f, s:f, s:f}]}}", "executor", "local", "nodes",
		"prices", "prices", "executor", "local", "per_hour", 36.0, "per_cpu_hour", 0.0, "minimum", 10.0, "step",
		1.0);
	json_object_set_new(plan, "budget", json_loads(budget, 0, NULL));
	return plan;
}

static void test_check(void **state)
{
	struct error err = {0};
	autojson json_t *none = mem_json("{s:s}", "executor", "local");
	assert_int_equal(budget_check(none, &err), 0);
	assert_true(isinf(budget_end(none, 0)));
	autojson json_t *fits = plan_of("{\"max_cost\": 0.2}"), *not = plan_of("{\"max_cost\": 0.19}"),
			*time = plan_of("{\"max_time\": 5}");
	assert_int_equal(budget_check(fits, &err), 0);
	assert_int_equal(budget_check(time, &err), 0);
	assert_int_equal(budget_check(not, &err), -1);
	assert_non_null(strstr(err.text, "budget.max_cost is 0.19, but these nodes cost at least 0.2"));
	json_object_del(fits, "prices");
	assert_int_equal(budget_check(fits, &err), -1);
	assert_non_null(strstr(err.text, "the price of these nodes is unknown"));
}

static void test_what_is_expected(void **state)
{
	struct error err = {0};
	autojson json_t *time = plan_of("{\"max_time\": 90}"), *cost = plan_of("{\"max_cost\": 2}");
	json_object_set_new(time, "expected", mem_json("{s:f, s:f}", "time", 100.0, "low", 80.0));
	json_object_set_new(cost, "expected", mem_json("{s:f, s:f}", "time", 130.0, "low", 95.0));
	assert_int_equal(budget_check(time, &err), 0);
	assert_int_equal(budget_check(cost, &err), 0);
	json_object_set_new(json_object_get(time, "expected"), "low", json_real(91));
	json_object_set_new(json_object_get(cost, "expected"), "low", json_real(101));
	assert_int_equal(budget_check(time, &err), -1);
	assert_non_null(
		strstr(err.text, "budget.max_time is 1 min 30 s, but the run is expected to take at least 1 min 31 s"));
	assert_int_equal(budget_check(cost, &err), -1);
	assert_non_null(strstr(err.text, "expected to cost at least 2.02"));
	json_object_set_new(time, "stop", mem_json("{s:i}", "iterations", 20));
	assert_int_equal(budget_check(time, &err), 0);
}

static void test_end(void **state)
{
	autojson json_t *time = plan_of("{\"max_time\": 5}"), *cost = plan_of("{\"max_cost\": 1}"),
			*both = plan_of("{\"max_cost\": 1, \"max_time\": 30}");
	assert_float_equal(budget_end(time, 0), 5, 0);
	assert_float_equal(budget_end(cost, 0), 50, 0.02);
	assert_float_equal(budget_end(both, 0), 30, 0);
	autofree char *by_time = budget_text(both, 0), *by_cost = budget_text(cost, 0);
	assert_string_equal(by_time, "30.0 s");
	assert_string_equal(by_cost, "50.0 s, which 1.00 pays for");
}

static void test_judge(void **state)
{
	autojson json_t *plan = plan_of("{\"max_time\": 60}");
	struct estimate_turn turns[20];
	for (size_t i = 0; i < countof(turns); i++)
		turns[i] = (struct estimate_turn){i % 2 ? 0.51 : 0.49, 1};
	struct estimate_input in = {
		.before = 2, .done = 1, .total = 100, .last = NAN, .turns = turns, .count = countof(turns)};
	assert_null(budget_judge(plan, &in, 5, 0)); // 5 + 2 + 50
	in.total = 200;
	autofree char *why = budget_judge(plan, &in, 5, 0);
	assert_non_null(why);
	assert_non_null(strstr(why, "over budget: predicted 1 min 4"));
	in.count = 5; // too early to say
	assert_null(budget_judge(plan, &in, 5, 0));
	in.count = countof(turns);
	in.total = 109; // perhaps, perhaps not
	assert_null(budget_judge(plan, &in, 4, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_check), cmocka_unit_test(test_what_is_expected),
		cmocka_unit_test(test_end), cmocka_unit_test(test_judge)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
