#include "base/clock.h"
#include "base/mem.h"
#include "controller/node_events.h"
#include "fakes/run.h"
#include "wire/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void both(struct fake_run *w, void (*does)(struct fake_run *w, size_t node))
{
	does(w, 0);
	does(w, 1);
}

static void check_why(const struct fake_run *w, const char *outcome, const char *why)
{
	assert_string_equal(w->c.outcome, outcome);
	assert_string_equal(w->c.why, why);
}

static void reach_fence(struct fake_run *w, size_t node, const char *name)
{
	autojson json_t *brought = json_integer((json_int_t)node * 10);
	node_events_ops.on_fence(node, name, brought, &w->c);
}

static void test_fence_is_answered_when_all_have_come(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	reach_fence(w, 1, "staged");
	assert_int_equal(fake_count_sent(0, "fence"), 0);
	reach_fence(w, 0, "staged");
	assert_int_equal(fake_count_sent(0, "fence"), 1);
	assert_int_equal(fake_count_sent(1, "fence"), 1);
	reach_fence(w, 1, "staged"); // the answer was lost on the way: only this node is answered again
	assert_int_equal(fake_count_sent(0, "fence"), 1);
	assert_int_equal(fake_count_sent(1, "fence"), 2);
	const json_t *all = json_object_get(fake_last_to_node(1), "data");
	assert_int_equal(json_integer_value(json_array_get(all, 0)), 0);
	assert_int_equal(json_integer_value(json_array_get(all, 1)), 10);
}

static void phase(struct fake_run *w, size_t node, const char *name, const char *edge)
{
	fake_run_event(w, node,
		event_make("phase", "s:s, s:s, s:i", "name", name, "edge", edge, "attempt", (int)w->c.attempt));
}

// The run's own phase begins with the first node and ends with the last; the nodes' own events are kept too.
static void test_phases_of_the_run(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	phase(w, 0, "setup", "begin");
	phase(w, 1, "setup", "begin");
	assert_non_null(json_object_get(w->c.open, "setup"));
	phase(w, 1, "setup", "end");
	assert_non_null(json_object_get(w->c.open, "setup"));
	phase(w, 0, "setup", "end");
	assert_null(json_object_get(w->c.open, "setup"));
	assert_int_equal(fake_run_count_logged(w, "\"name\":\"setup\""), 6);
}

static void node_fails(struct fake_run *w, size_t node, const char *phase, const char *why)
{
	fake_run_event(
		w, node, event_make("fail", "s:s, s:s, s:i", "phase", phase, "why", why, "attempt", (int)w->c.attempt));
}

static void test_failure_names_its_node(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "  retries: 3\n", false);
	fake_run_bring_up(w);
	node_fails(w, 1, "stage", "no such file");
	check_why(w, "failed", "node 1: no such file"); // inputs are not tried again, whatever retries there are
	assert_int_equal(w->c.state, STATE_STOPPING);
	node_fails(w, 0, "stage", "another one");
	check_why(w, "failed", "node 1: no such file");
}

// Who is meant is a member of the event: the words of a text decide nothing.
static void test_failure_that_names_nodes_itself(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	fake_run_event(w, 1,
		event_make("fail", "s:s, s:s, s:b, s:i", "phase", "preflight", "why", "the clocks of 0 and 1 differ",
			"named", 1, "attempt", (int)w->c.attempt));
	check_why(w, "failed", "the clocks of 0 and 1 differ");
}

static void test_failure_that_only_looks_as_if_it_named_nodes(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	node_fails(w, 1, "setup", "node modules are missing");
	check_why(w, "failed", "node 1: node modules are missing");
}

static void test_killed_rank(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	fake_run_event(w, 0,
		event_make("exit", "s:i, s:n, s:i, s:s, s:i", "rank", 0, "status", "signal", 9, "why", "out of memory",
			"attempt", 1));
	check_why(w, "failed", "rank 0 on node 0 was killed by signal 9 (SIGKILL): out of memory");
}

// A node that names a rank which does not exist changes nothing.
static void test_rank_beyond_the_run(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	fake_run_event(w, 0, event_make("exit", "s:i, s:i, s:n, s:i", "rank", 99, "status", 1, "signal", "attempt", 1));
	fake_run_event(w, 0, event_make("start", "s:i, s:i", "rank", 99, "attempt", 1));
	assert_int_equal(w->c.state, STATE_RUNNING);
}

static void test_preflight_only(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", true);
	fake_run_bring_up(w);
	fake_run_event(w, 0, event_make("checked", "s:i", "attempt", 1));
	assert_int_equal(w->c.state, STATE_RUNNING);
	fake_run_event(w, 1, event_make("checked", "s:i", "attempt", 1));
	assert_int_equal(w->c.state, STATE_STOPPING);
	assert_string_equal(w->c.outcome, "ok");
}

static void left(struct fake_run *w, size_t node)
{
	fake_run_event(
		w, node, event_make("left", "s:{}, s:[s, s]", "streams", "unmatched", "*.png", node ? "b" : "a"));
}

// A pattern that one node has no file for is no mistake; one that no node has a file for is.
static void test_unmatched_outputs(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	left(w, 0);
	assert_int_equal(fake_run_count_logged(w, "\"warn\""), 0);
	left(w, 1);
	assert_int_equal(fake_run_count_logged(w, "\"warn\""), 1);
	assert_int_equal(fake_run_count_logged(w, "'*.png'"), 1);
}

static void test_refusals_are_bounded(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	for (int i = 0; i < 1500; i++)
		node_events_ops.on_refused("127.0.0.1", "a wrong token", &w->c);
	assert_int_equal(fake_run_count_logged(w, "\"refused\""), 1000);
}

static void progress(struct fake_run *w, int from, double done)
{
	json_t *heads = json_array();
	double now = clock_wall();
	for (int i = from; i <= done; i++)
		json_array_append_new(heads, mem_json("[f, i]", now + i, i));
	fake_run_event(w, 0,
		event_make("progress", "s:i, s:f, s:f, s:o", "rank", 0, "done", done, "total", 1000.0, "heads", heads));
}

static void test_stop_condition(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "stop: {iterations: 20}\n", false);
	fake_run_bring_up(w);
	both(w, fake_run_rank_starts);
	progress(w, 1, 10);
	assert_int_equal(w->c.state, STATE_RUNNING);
	progress(w, 11, 30);
	assert_int_equal(w->c.state, STATE_STOPPING);
	assert_string_equal(w->c.outcome, "ok");
	assert_int_equal(fake_run_count_logged(w, "\"enough\""), 1);
}

// A client that takes the run for a cluster is told so, by the kind of its request.
static void test_request_to_a_run(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	autojson json_t *msg = mem_json("{s:s, s:i}", "msg", "resize", "nodes", 3);
	node_events_ops.on_request(fake_client(1), msg, &w->c);
	const json_t *answer = fake_last_to_client(1);
	assert_string_equal(json_string_value(json_object_get(answer, "msg")), "resize");
	assert_non_null(json_object_get(answer, "error"));
	node_events_ops.on_client_gone(fake_client(1), &w->c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_fence_is_answered_when_all_have_come, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_phases_of_the_run, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_failure_names_its_node, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(
			test_failure_that_names_nodes_itself, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(
			test_failure_that_only_looks_as_if_it_named_nodes, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_killed_rank, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_rank_beyond_the_run, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_preflight_only, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_unmatched_outputs, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_refusals_are_bounded, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_stop_condition, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_request_to_a_run, fake_run_set_up, fake_run_tear_down),
	};
	return cmocka_run_group_tests_name("node_events", tests, NULL, NULL);
}
