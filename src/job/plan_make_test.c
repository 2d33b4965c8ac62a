#include "base/mem.h"
#include "base/regex.h"
#include "base/str.h"
#include "job/job.h"
#include "job/plan.h"
#include "job/plan_make.h"
#include "job/site_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// What each job file gives is in tests/golden; here is what a file cannot show.

static json_t *plan_of(const char *text, struct error *err)
{
	struct job *job = job_parse(text, strlen(text), "dir/My Job.v2.yaml", NULL, 0, err);
	json_t *plan = job ? plan_make(job, NULL, "/dir", err) : NULL;
	job_free(job);
	return plan;
}

static json_t *good_plan(const char *text)
{
	struct error err;
	json_t *plan = plan_of(text, &err);
	if (!plan)
		fail_msg("%s", err.text);
	return plan;
}

static const char *text_at(const json_t *tree, const char *list, size_t index, const char *key)
{
	return json_string_value(json_object_get(json_array_get(json_object_get(tree, list), index), key));
}

static void test_getters(void **state)
{
	autojson json_t *plan =
		good_plan("{cluster: {executor: docker, image: a, nodes: 3}, run: {command: a, procs_per_node: 2, "
			  "timeout: 1m, grace: 0.5}}");
	assert_int_equal(plan_nodes(plan), 3);
	assert_int_equal(plan_size(plan), 6);
	assert_string_equal(plan_executor(plan), "docker");
	assert_true(plan_timeout(plan) == 60);
	assert_true(plan_grace(plan) == 0.5);
	assert_true(plan_lease(plan) == 30);
	assert_string_equal(json_string_value(json_object_get(plan, "name")), "my-job-v2");
}

static double seconds_of(double (*read)(const json_t *plan), const char *text, const char *site_text)
{
	struct error err;
	struct job *job = job_parse(text, strlen(text), "a.yaml", NULL, 0, &err);
	autojson json_t *site = site_text ? json_loads(site_text, 0, NULL) : NULL;
	assert_non_null(job);
	autojson json_t *plan = plan_make(job, site, "/", &err);
	job_free(job);
	return read(plan);
}

static double lease_of(const char *text, const char *site_text)
{
	return seconds_of(plan_lease, text, site_text);
}

// An MPI job waits for a silent node no longer than it must, unless somebody has said how long.
static void test_lease(void **state)
{
	assert_true(lease_of("{run: {command: a}}", NULL) == 30);
	assert_true(lease_of("{run: {command: a, launch: torch}}", "{\"heartbeat\": 1}") == 30);
	assert_true(lease_of("{run: {command: a, launch: mpi}}", NULL) == 15);
	assert_true(lease_of("{run: {command: a, launch: mpi}}", "{\"heartbeat\": 1}") == 3);
	assert_true(lease_of("{run: {command: a, launch: mpi}}", "{\"heartbeat\": 1, \"lease\": 40}") == 40);
	assert_true(lease_of("{cluster: {lease: 6s}, run: {command: a}}", NULL) == 6);
	assert_true(seconds_of(plan_heartbeat, "{cluster: {lease: 6s}, run: {command: a}}", NULL) == 2);
	assert_true(seconds_of(plan_heartbeat, "{run: {command: a, launch: mpi}}", NULL) == 5);
	assert_true(lease_of("{cluster: {lease: 1m}, run: {command: a, launch: mpi}}", "{\"lease\": 40}") == 60);
}

static json_t *cluster_plan(const char *text, struct error *err)
{
	struct job *job = job_parse_cluster(text, strlen(text), "lab.yaml", NULL, 0, err);
	json_t *plan = job ? plan_make_cluster(job, NULL, "/", err) : NULL;
	job_free(job);
	return plan;
}

static void test_cluster(void **state)
{
	struct error err = {0};
	autojson json_t *plan = cluster_plan(
		"{cluster: {nodes: 2, memory: 1Gi}, actions: {go: ['echo {x}', {run: [a, b], once: true, name: n}]}}",
		&err);
	assert_non_null(plan);
	assert_int_equal(plan_nodes(plan), 2);
	assert_int_equal(plan_size(plan), 0);
	assert_true(plan_lease(plan) == 3600);
	assert_true(plan_grace(plan) == 5);
	const json_t *steps = json_object_get(json_object_get(plan, "actions"), "go");
	assert_int_equal(json_array_size(steps), 2);
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(json_array_get(steps, 0), "argv"), 2)), "echo {x}");
	assert_true(json_is_true(json_object_get(json_array_get(steps, 1), "once")));
	assert_null(cluster_plan("{cluster: {nodes: 2}, run: {command: a}}", &err));
	assert_non_null(strstr(err.text, "unknown key 'run'"));
	assert_null(cluster_plan("{cluster: {nodes: 2}, actions: {go: a}}", &err));
	assert_null(cluster_plan("{cluster: {lease: 5s}}", &err));
	assert_non_null(strstr(err.text, "lab.yaml:1:"));
}

static void test_resize(void **state)
{
	struct error err = {0};
	autojson json_t *plan = cluster_plan("{cluster: {roles: {a: 1, b: 2}, cpus: 0.5}}", &err);
	autojson json_t *more = plan_resize(plan, 5), *less = plan_resize(more, 1), *same = plan_resize(plan, 3);
	assert_true(json_equal(plan, same));
	assert_int_equal(plan_nodes(plan), 3);
	assert_int_equal(plan_nodes(more), 5);
	assert_int_equal(plan_nodes(less), 1);
	assert_string_equal(text_at(more, "nodes", 4, "name"), "node-4");
	assert_string_equal(text_at(more, "nodes", 4, "role"), "b");
	assert_int_equal(
		json_integer_value(json_object_get(json_array_get(json_object_get(more, "nodes"), 4), "index")), 3);
}

static const char *host_at(const json_t *plan, size_t k)
{
	return json_string_value(
		json_object_get(json_object_get(json_array_get(json_object_get(plan, "nodes"), k), "host"), "host"));
}

static void test_resize_on_hosts(void **state)
{
	struct error err = {0};
	autojson json_t *plan =
		cluster_plan("{cluster: {executor: ssh, nodes: 2, hosts: [a, 'b[1-3]'], at_once: 2}}", &err);
	assert_non_null(plan);
	assert_int_equal(plan_nodes(plan), 2);
	assert_int_equal(plan_room(plan), 4);
	assert_int_equal(json_integer_value(json_object_get(plan, "at_once")), 2);
	autojson json_t *less = plan_resize(plan, 1), *more = plan_resize(less, 4);
	assert_string_equal(host_at(less, 0), "a");
	assert_string_equal(host_at(more, 1), "b1");
	assert_string_equal(host_at(more, 3), "b3");
	assert_null(cluster_plan("{cluster: {executor: ssh, nodes: 3, hosts: [a, b]}}", &err));
	assert_non_null(strstr(err.text, "found 3 nodes and 2 hosts"));
}

static void test_on_a_cluster(void **state)
{
	struct error err = {0};
	static const char some[] = "{cluster: {nodes: 2}, run: {command: a}}", any[] = "{run: {command: a}}";
	struct job *job = job_parse(some, strlen(some), "j.yaml", NULL, 0, &err);
	assert_int_equal(job_on(job, "lab", 1, 0, &err), -1);
	assert_non_null(strstr(err.text, "found 2 nodes, expected at most 1"));
	assert_int_equal(job_on(job, "lab", 3, 0, &err), 0);
	autojson json_t *plan = plan_make(job, NULL, "/", &err);
	job_free(job);
	assert_int_equal(plan_nodes(plan), 2);
	assert_string_equal(plan_executor(plan), "attached");
	assert_string_equal(json_string_value(json_object_get(plan, "on")), "lab");
	job = job_parse(any, strlen(any), "j.yaml", NULL, 0, &err);
	assert_int_equal(job_on(job, "lab", 3, 0, &err), 0);
	autojson json_t *all = plan_make(job, NULL, "/", &err);
	job_free(job);
	assert_int_equal(plan_nodes(all), 3);
	static const char elsewhere[] = "{cluster: {executor: ssh, hosts: [a, b]}, run: {command: a}}";
	job = job_parse(elsewhere, strlen(elsewhere), "j.yaml", NULL, 0, &err);
	assert_int_equal(job_on(job, "lab", 3, 0, &err), 0);
	autojson json_t *here = plan_make(job, NULL, "/", &err);
	job_free(job);
	assert_int_equal(plan_nodes(here), 3);
	assert_null(host_at(here, 0));
}

static void test_slice(void **state)
{
	autojson json_t *plan = good_plan(
		"{cluster: {roles: {a: 1, b: 2}}, run: {command: x, procs_per_node: 2}, setup: ['{node} {role} {index} "
		"{nodes} {addr} {addr[0]} {data} {{node}} ${node}']}");
	autofree char *before = json_dumps(plan, 0);
	autojson json_t *slice = plan_slice(plan, 2);
	assert_int_equal(json_integer_value(json_object_get(slice, "node")), 2);
	assert_int_equal(plan_nodes(slice), 1);
	assert_string_equal(plan_own_node(slice).name, "node-2");
	assert_int_equal(plan_size(slice), 6);
	const json_t *ranks = json_object_get(slice, "ranks");
	assert_int_equal(json_array_size(ranks), 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(ranks, 0), "rank")), 4);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(ranks, 1), "rank")), 5);
	const json_t *step = json_array_get(json_object_get(slice, "setup"), 0);
	assert_string_equal(json_string_value(json_array_get(json_object_get(step, "argv"), 2)),
		"2 b 1 3 {addr[2]} {addr[0]} {data} {{node}} ${node}");
	assert_string_equal(json_string_value(json_object_get(json_object_get(step, "env"), "MUSTER_NODE")), "2");
	assert_string_equal(json_string_value(json_object_get(json_object_get(step, "env"), "MUSTER_ROLE")), "b");
	assert_true(str_starts(text_at(slice, "setup", 0, "name"), "{node} {role}"));
	autofree char *after = json_dumps(plan, 0);
	assert_string_equal(before, after);
}

static void test_ten_thousand_nodes(void **state)
{
	autojson json_t *plan = good_plan("{cluster: {nodes: 10000}, run: {command: 'echo {rank}', launch: torch}}");
	assert_int_equal(plan_size(plan), 10000);
	assert_string_equal(text_at(plan, "nodes", 9999, "name"), "node-9999");
	autojson json_t *slice = plan_slice(plan, 9999);
	assert_int_equal(json_array_size(json_object_get(slice, "ranks")), 1);
}

static void test_too_much_text(void **state)
{
	autostr struct str s = {0};
	struct error err;
	str_puts(&s, "cluster: {nodes: 10000}\nrun:\n  command: '");
	for (int i = 0; i < 100000; i++)
		str_puts(&s, "x");
	str_puts(&s, "'\n");
	assert_null(plan_of(s.text, &err));
	assert_non_null(strstr(err.text,
		"My Job.v2.yaml:3:3: found a command and environment of 100000 bytes for each of 10000 ranks"));
	str_fini(&s);
	s = (struct str){0};
	str_puts(&s, "run:\n  command: '");
	for (int i = 0; i < 131072; i++)
		str_puts(&s, "x");
	str_puts(&s, "'\n");
	assert_null(plan_of(s.text, &err));
	assert_non_null(
		strstr(err.text, "My Job.v2.yaml:2:12: found 131072 bytes for 'run.command', expected at most 131071"));
}

static void test_missing_file(void **state)
{
	struct error err = {0};
	assert_null(job_load("/nonexistent/job.yaml", NULL, 0, &err));
	assert_int_equal(err.code, ERROR_USAGE);
	assert_non_null(strstr(err.text, "/nonexistent/job.yaml"));
	assert_null(site_file_load("/nonexistent/site.yaml", &err));
	assert_int_equal(err.code, ERROR_USAGE);
	job_free(NULL);
}

struct line {
	const char *text, *done; // done: NULL where no pattern may match, "" where the line only announces an epoch
};

// The progress patterns must compile and take what programs print; the first that matches is the one that counts.
static void test_progress(void **state)
{
	static const struct line lines[] = {{"[epoch: 2/5][iteration: 20/100] rank 0 loss 1", "20"},
		{"Epoch [1/5], Step [100/600], Loss: 0.1", "100"}, {"Epoch 1 of 5, iteration 3 of 10", "3"},
		{"step 3/10", "3"}, {"iteration 7 of 9", "7"}, {"[7/9] compiling", "7"}, {"footstep 3/10", NULL},
		{"step 3", NULL}, {"epoch 3/10", NULL}, {"Epoch 3/10", ""}, {"[0/25][50/1583]\tLoss_D: 1", "50"},
		{"Train Epoch: 1 [640/60000 (1%)]", "640"}, {"Test Epoch: 1 [640/60000 (1%)]", NULL},
		{"Epoch 0:  10%|#  | 47/469 [00:12<01:40, 4.2it/s]", "47"},
		{"Validation:  10%|#  | 1/10 [00:01<00:09, 1.0it/s]", NULL},
		{"Training:  10%|#  | 1/10 [00:01<00:09, 1.0it/s]", "1"},
		{" 10/469 [>.............................] - ETA: 12s", "10"}, {"iter 5: loss 1.2, time 3ms", "5"},
		{"the best iter 5: loss 1.2", NULL}};
	autojson json_t *plan = good_plan("run: {command: a}");
	for (size_t i = 0; i < countof(lines); i++) {
		size_t k, len;
		const json_t *text;
		const char *found = NULL;
		bool done = false;
		json_array_foreach (json_object_get(plan, "progress"), k, text) {
			struct error err;
			struct regex *p = regex_new(json_string_value(text), &err);
			if (!p)
				fail_msg("%s: %s", json_string_value(text), err.text);
			if (!done && regex_find(p, lines[i].text, strlen(lines[i].text))) {
				done = true;
				found = regex_group(p, "done") ? regex_text(p, regex_group(p, "done"), &len) : "";
				if (!lines[i].done || strncmp(found, lines[i].done, strlen(lines[i].done)) != 0)
					fail_msg("'%s' was taken by %s", lines[i].text, json_string_value(text));
			}
			regex_free(p);
		}
		if (!done && lines[i].done)
			fail_msg("'%s' was taken by none", lines[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_getters),
		cmocka_unit_test(test_lease),
		cmocka_unit_test(test_cluster),
		cmocka_unit_test(test_resize),
		cmocka_unit_test(test_resize_on_hosts),
		cmocka_unit_test(test_on_a_cluster),
		cmocka_unit_test(test_slice),
		cmocka_unit_test(test_ten_thousand_nodes),
		cmocka_unit_test(test_too_much_text),
		cmocka_unit_test(test_missing_file),
		cmocka_unit_test(test_progress),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
