#include "base/mem.h"
#include "job/prices.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static json_t *parse(const char *text, struct error *err)
{
	return prices_parse(text, strlen(text), "prices.yaml", err);
}

static json_t *plan_of(const char *executor, const char *type, double cpus, int nodes)
{
	json_t *list = json_array();
	for (int i = 0; i < nodes; i++)
		json_array_append_new(
			list, mem_json("{s:s?, s:o}", "type", type, "cpus", cpus > 0 ? json_real(cpus) : json_null()));
	return mem_json("{s:s, s:o}", "executor", executor, "nodes", list);
}

static double cost(const json_t *prices, json_t *plan, double seconds, double cores)
{
	double sum = prices_cost(prices, plan, seconds, cores);
	json_decref(plan);
	return sum;
}

static void test_cost(void **state)
{
	struct error err = {0};
	autojson json_t *p = parse("currency: USD\nas_of: 2026-11-01\nprices:\n"
				   "- {executor: ec2, type: big, per_hour: 0.36, minimum: 60s}\n"
				   "- {executor: ec2, per_hour: 0.036, granularity: hour}\n"
				   "- {executor: local, per_cpu_hour: 3.6}\n",
		&err);
	if (!p)
		fail_msg("%s", err.text);
	assert_float_equal(cost(p, plan_of("ec2", "big", 0, 2), 100.2, 0), 2 * 101 * 0.0001, 1e-12);
	assert_float_equal(cost(p, plan_of("ec2", "big", 0, 1), 5, 0), 60 * 0.0001, 1e-12);
	assert_float_equal(cost(p, plan_of("ec2", "small", 0, 3), 3601, 0), 3 * 2 * 0.036, 1e-12);
	assert_float_equal(cost(p, plan_of("local", NULL, 0.5, 2), 10, 8), 2 * 10 * 0.001 * 0.5, 1e-12);
	assert_float_equal(cost(p, plan_of("local", NULL, 0, 1), 10, 8), 10 * 0.001 * 8, 1e-12);
	assert_true(isnan(cost(p, plan_of("ec2", "big", 0, 1), NAN, 0)));
	assert_true(isnan(cost(p, plan_of("local", NULL, 0, 1), 10, 0)));
	assert_true(isnan(cost(p, plan_of("slurm", NULL, 1, 1), 10, 0)));
	assert_true(isnan(cost(p, plan_of("ec2", NULL, 1, 0), 10, 0)));
	assert_true(isnan(cost(NULL, plan_of("ec2", NULL, 1, 1), 10, 0)));
}

static void test_errors(void **state)
{
	static const char *const cases[][2] = {
		{"currency: USD\n", "found no 'prices', expected a list of prices"},
		{"prices: [{per_hour: 1}]", "found no 'prices[0].executor'"},
		{"prices: [{executor: ec2}]", "prices.yaml:1:10: found neither 'per_hour' nor 'per_cpu_hour'"},
		{"prices: [{executor: ec2, per_hour: -1}]",
			"found '-1' for 'prices[0].per_hour', expected a price such as 0.085"},
		{"prices: [{executor: ec2, per_huor: 1}]", "did you mean 'per_hour'"},
		{"prices: [{executor: ec2, per_hour: 1, granularity: day}]", "'day'"},
	};
	for (size_t i = 0; i < countof(cases); i++) {
		struct error err = {0};
		assert_null(parse(cases[i][0], &err));
		if (!strstr(err.text, cases[i][1]))
			fail_msg("'%s' does not say '%s'", err.text, cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cost), cmocka_unit_test(test_errors)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
