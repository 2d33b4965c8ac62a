#include "base/mem.h"
#include "base/str.h"
#include "job/sweep_points.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// The names of the points, one a line; NULL and err.
static char *names(const char *sweep, struct error *err)
{
	autofree char *text = mem_printf("run: {command: a}\nsweep: %s\n", sweep);
	struct job *job = job_parse(text, strlen(text), "job.yaml", NULL, 0, err);
	autojson json_t *points = job ? sweep_points_make(job, err) : NULL;
	struct str out = {0};
	size_t i;
	const json_t *point;
	json_array_foreach (points, i, point)
		str_printf(&out, "%s\n", json_string_value(json_object_get(point, "name")));
	job_free(job);
	return points ? str_steal(&out) : NULL;
}

static void expect(const char *sweep, const char *points)
{
	struct error err = {0};
	autofree char *found = names(sweep, &err);
	if (!found)
		fail_msg("%s: %s", sweep, err.text);
	assert_string_equal(found, points);
}

static void expect_error(const char *sweep, const char *words)
{
	struct error err = {0};
	autofree char *found = names(sweep, &err);
	if (found)
		fail_msg("%s gave %s", sweep, found);
	assert_int_equal(err.code, ERROR_USAGE);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

static void test_product(void **state)
{
	expect("{over: {cluster.nodes: [1, 2]}}", "cluster.nodes=1\ncluster.nodes=2\n");
	expect("{over: {cluster.nodes: [1, 2], cluster.cpus: [500m, 1]}}",
		"cluster.nodes=1 cluster.cpus=500m\ncluster.nodes=1 cluster.cpus=1\ncluster.nodes=2 "
		"cluster.cpus=500m\ncluster.nodes=2 cluster.cpus=1\n");
}

// Whatever a value is, it can be read again.
static void test_values(void **state)
{
	expect("{over: {run.env.X: [a, 'b c', \"say \\\"x\\\"\\n\", '1']}}",
		"run.env.X=a\nrun.env.X=\"b c\"\nrun.env.X=\"say \\\"x\\\"\\x0a\"\nrun.env.X=\"1\"\n");
	expect("{over: {inputs: [[a.txt], [{from: b.txt, path: c}]]}}",
		"inputs=[a.txt]\ninputs=[{\"from\": b.txt, \"path\": c}]\n");
}

static void test_include_and_exclude(void **state)
{
	expect("{over: {cluster.nodes: [1, 2], cluster.cpus: [1, 2]}, exclude: [{cluster.nodes: 2, cluster.cpus: 2}]}",
		"cluster.nodes=1 cluster.cpus=1\ncluster.nodes=1 cluster.cpus=2\ncluster.nodes=2 cluster.cpus=1\n");
	expect("{over: {cluster.nodes: [1, 2], cluster.cpus: [1, 2]}, exclude: [{cluster.nodes: 2}], include: "
	       "[{cluster.nodes: 8}]}",
		"cluster.nodes=1 cluster.cpus=1\ncluster.nodes=1 cluster.cpus=2\ncluster.nodes=8\n");
	expect("{include: [{cluster.nodes: 8}]}", "cluster.nodes=8\n");
}

static void test_errors(void **state)
{
	expect_error("", "found no 'sweep', expected one with the keys to vary");
	expect_error("{repeat: 2}", "found no point in 'sweep'");
	expect_error(
		"{over: 3}", "job.yaml:2:15: found '3' for 'sweep.over', expected a map of keys and lists of values");
	expect_error("{over: {cluster.nodes: 3}}",
		"job.yaml:2:31: found '3' for 'sweep.over.cluster.nodes', expected a list of values");
	expect_error("{over: {cluster.nodes: []}}", "found an empty list for 'sweep.over.cluster.nodes'");
	expect_error("{over: {cluster.nodes: [1]}, exclude: [{cluster.nodes: 2}]}", "found no point with these values");
	expect_error("{over: {cluster.nodes: [1]}, exclude: {cluster.nodes: 1}}",
		"found a map for 'sweep.exclude', expected a list of maps");
	expect_error("{over: {cluster.nodes: [1]}, include: [{cluster.nodes: 1}]}",
		"found the point 'cluster.nodes=1' twice");
	expect_error("{over: {cluster.nodes: [1, 1]}}", "found the point 'cluster.nodes=1' twice");
	expect_error("{over: {cluster.nodes: [1]}, stop: {within: 0%}}", "expected a percentage above 0");
	expect_error("{ovre: {}}", "did you mean 'over'");
}

static void test_too_many(void **state)
{
	autostr struct str s = {0};
	str_puts(&s, "{over: {");
	for (int axis = 0; axis < 6; axis++)
		str_printf(&s, "%srun.env.X%d: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", axis ? ", " : "", axis);
	str_puts(&s, "}}");
	expect_error(s.text, "found more than 100000 points");
}

static void test_sets_of_all(void **state)
{
	static const char text[] =
		"run: {command: a}\nsweep: {include: [{cluster.nodes: 1}], stop: {iterations: 20, within: 1.5%}}\n";
	struct error err = {0};
	struct job *job = job_parse(text, strlen(text), "job.yaml", NULL, 0, &err);
	assert_non_null(job);
	autojson json_t *sets = sweep_points_sets(job);
	assert_int_equal(json_array_size(sets), 2);
	assert_string_equal(json_string_value(json_array_get(sets, 0)), "stop.iterations=20");
	assert_string_equal(json_string_value(json_array_get(sets, 1)), "stop.within=1.5%");
	job_free(job);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_product),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_include_and_exclude),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_sets_of_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
