#include "base/clock.h"
#include "base/mem.h"
#include "controller/lifecycle.h"
#include "controller/node_events.h"
#include "fakes/run.h"
#include "wire/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void both(struct fake_run *w, void (*does)(struct fake_run *w, size_t node))
{
	does(w, 0);
	does(w, 1);
}

static void check_outcome(const struct fake_run *w, const char *outcome, int exit, const char *why)
{
	assert_string_equal(w->c.outcome, outcome);
	assert_int_equal(w->c.exit, exit);
	if (why)
		assert_non_null(strstr(w->c.why ? w->c.why : "", why));
}

// The last message to all nodes was to go at once; keep: with what they have not delivered kept.
static void check_last_bye(bool keep)
{
	const json_t *last = json_array_get(fake.sent, json_array_size(fake.sent) - 1),
		     *msg = json_object_get(last, "msg");
	assert_string_equal(json_string_value(json_object_get(msg, "msg")), "bye");
	assert_true(json_is_true(json_object_get(msg, "now")));
	assert_int_equal(json_is_true(json_object_get(msg, "keep")), keep);
}

// --- the course of a run ------------------------------------------------------------------

static void test_goes_well(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	assert_int_equal(fake_run_count_logged(w, "\"intent\""), 1);
	assert_true(fake_timer_seconds(w->c.deadline) > 0);
	fake_run_hello(w, 0);
	assert_int_equal(fake_count_sent(0, "launch"), 0); // not before all are there
	fake_run_hello(w, 1);
	fake_run_work(w, NULL);
	assert_int_equal(fake_count_sent(0, "launch"), 1);
	assert_int_equal(fake_count_sent(1, "launch"), 1);
	assert_true(fake_timer_seconds(w->c.deadline) < 0);
	both(w, fake_run_rank_starts);
	fake_run_rank_exits(w, 0, 0, 1);
	assert_int_equal(w->c.state, STATE_RUNNING);
	fake_run_rank_exits(w, 1, 0, 1);
	assert_int_equal(w->c.state, STATE_STOPPING);
	assert_int_equal(fake_count_sent(1, "bye"), 1);
	fake_run_leaves(w, 0);
	assert_false(fake.working); // the executor removes nothing while a node still sends
	fake_run_leaves(w, 1);
	assert_true(fake.working);
	fake_run_wind_up(w);
	check_outcome(w, "ok", 0, NULL);
	assert_int_equal(fake_run_count_logged(w, "\"receipt\""), 1);
}

static void test_cannot_be_brought_up(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_work(w, "no such image");
	check_outcome(w, "failed", ERROR_SYSTEM, "no such image");
	assert_true(fake.working); // what was made of it is removed
	fake_run_wind_up(w);
}

static void test_nodes_do_not_come(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_hello(w, 0);
	fake_run_work(w, NULL);
	fake_timer_fire(w->c.deadline);
	check_outcome(w, "failed", ERROR_SYSTEM, "1 of 2 nodes");
	assert_int_equal(fake_count_sent(0, "bye"), 1);
}

// Whoever waits for an image or for pods has a deadline of his own.
static void test_executor_waits(void **state)
{
	struct fake_run *w = *state;
	static const char *const types[] = {"image", "pod"};
	fake_run_start(w, "", false);
	for (size_t i = 0; i < countof(types); i++) {
		lifecycle_on_executor_event(event_make(types[i], "s:s", "step", "waiting"), &w->c);
		assert_true(fake_timer_seconds(w->c.deadline) < 0);
		lifecycle_on_executor_event(event_make(types[i], "s:b", "ok", 1), &w->c);
		assert_true(fake_timer_seconds(w->c.deadline) > 0);
	}
}

static void test_rank_fails(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	fake_run_rank_exits(w, 1, 7, 1);
	check_outcome(w, "failed", ERROR_JOB, "rank 1 on node 1 exited with status 7");
	fake_run_rank_exits(w, 0, 0, 1); // comes late and changes nothing
	check_outcome(w, "failed", ERROR_JOB, "rank 1 on node 1 exited with status 7");
	fake_run_wind_up(w);
}

static void test_retries(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "  retries: 1\n", false);
	fake_run_bring_up(w);
	fake_run_rank_exits(w, 0, 1, 1);
	assert_int_equal(w->c.state, STATE_RUNNING);
	assert_int_equal(w->c.attempt, 2);
	assert_int_equal(fake_count_sent(1, "launch"), 2);
	fake_run_rank_exits(w, 1, 9, 1); // of the attempt before: it does not count
	assert_int_equal(w->c.state, STATE_RUNNING);
	fake_run_rank_exits(w, 1, 1, 2);
	check_outcome(w, "failed", ERROR_JOB, "rank 1");
	fake_run_wind_up(w);
	assert_int_equal(fake_run_count_logged(w, "\"retry\""), 1);
}

static void test_timeout(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "  timeout: 10s\n", false);
	fake_run_bring_up(w);
	assert_true(fake_timer_seconds(w->c.timeout) < 0);
	both(w, fake_run_rank_starts);
	assert_true(fake_timer_seconds(w->c.timeout) == 10);
	fake_timer_fire(w->c.timeout);
	check_outcome(w, "failed", ERROR_JOB, "timeout");
	assert_string_equal(json_string_value(json_object_get(fake_last_to_node(0), "why")), "timeout");
	fake_run_wind_up(w);
}

static void test_node_is_lost(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	fake_run_away(w, 1, 1);
	fake_timer_fire(w->c.watch);
	assert_int_equal(w->c.state, STATE_RUNNING); // its lease is not over
	fake_run_hello(w, 1);
	fake_timer_fire(w->c.watch);
	assert_int_equal(fake_run_count_logged(w, "\"back\""), 1);
	fake_run_away(w, 1, 1000);
	fake_timer_fire(w->c.watch);
	check_outcome(w, "lost", ERROR_SYSTEM, "node 1 is lost");
	fake_run_leaves(w, 0);
	assert_true(fake.working); // nobody waits for the lost one
	fake_run_work(w, NULL);
}

static void told_to_stop(struct fake_run *w, size_t node)
{
	fake_run_event(w, node, event_make("terminated", "s:s", "signal", "TERM"));
}

static void lost(struct fake_run *w, size_t node, const char *why)
{
	lifecycle_on_executor_event(event_make("lost", "s:i, s:s", "node", (int)node, "why", why), &w->c);
}

// Somebody else stops a node: the run is over, and what all nodes have is brought back. Attempts that are left do not
// matter.
static void test_node_is_told_to_stop(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "  retries: 3\n", false);
	fake_run_bring_up(w);
	told_to_stop(w, 1);
	assert_int_equal(w->c.state, STATE_STOPPING);
	check_outcome(w, "lost", ERROR_SYSTEM, "node 1 was told to stop (SIGTERM)");
	assert_int_equal(fake_count_sent(0, "bye"), 1);
	fake_run_rank_exits(w, 1, 143, 1);
	told_to_stop(w, 0); // the others too: the first one is the reason
	fake_run_wind_up(w);
	check_outcome(w, "lost", ERROR_SYSTEM, "node 1 was told to stop (SIGTERM)");
	assert_int_equal(fake_run_count_logged(w, "\"lost\""), 0);
}

// The executor has heard of it before the node has.
static void test_node_is_about_to_be_told(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	lifecycle_on_executor_event(
		event_make("lost", "s:i, s:s, s:b", "node", 1, "why", "evicted: low on memory", "leaves", 1), &w->c);
	assert_int_equal(w->c.state, STATE_RUNNING);
	told_to_stop(w, 1);
	check_outcome(w, "lost", ERROR_SYSTEM, "node 1 was told to stop (SIGTERM): evicted: low on memory");
	fake_run_leaves(w, 0);
	assert_false(fake.working); // node 1 is still there
	fake_run_leaves(w, 1);
	assert_true(fake.working);
	fake_run_work(w, NULL);
}

// The executor knows why; what the node brings back is waited for.
static void test_why_a_node_is_told_to_stop(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	told_to_stop(w, 1);
	lost(w, 0, "of another node");
	lost(w, 1, "evicted: low on memory");
	assert_string_equal(w->c.why, "node 1 was told to stop (SIGTERM): evicted: low on memory");
	lost(w, 1, "its container has ended");
	assert_string_equal(w->c.why, "node 1 was told to stop (SIGTERM): evicted: low on memory");
	fake_run_leaves(w, 0);
	assert_false(fake.working); // node 1 is still there
	fake_run_away(w, 1, 1);     // and now it is not
	assert_int_equal(fake_run_count_logged(w, "\"why\":\"its container has ended\""), 1);
	assert_true(fake.working);
	fake_run_work(w, NULL);
}

static void test_told_to_stop_when_all_is_done(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	fake_run_rank_exits(w, 0, 0, 1);
	fake_run_rank_exits(w, 1, 0, 1);
	told_to_stop(w, 1);
	fake_run_wind_up(w);
	check_outcome(w, "ok", 0, NULL);
}

// A node that came back with an older launch gets the present one again.
static void test_launch_is_sent_again(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	fake_run_away(w, 0, 1);
	autojson json_t *said = json_copy(w->c.membership.nodes[0].said); // which had not been launched yet
	node_events_ops.on_hello(0, said, true, &w->c);
	assert_int_equal(fake_count_sent(0, "launch"), 2);
	assert_int_equal(fake_count_sent(1, "launch"), 1);
}

static void test_node_does_not_leave(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	fake_run_rank_exits(w, 0, 0, 1);
	fake_run_rank_exits(w, 1, 0, 1);
	fake_run_leaves(w, 0);
	node_events_ops.on_activity(&w->c); // bytes of the other one: it is waited for anew
	assert_true(fake_timer_seconds(w->c.silence) > 0);
	fake_timer_fire(w->c.silence);
	check_outcome(w, "lost", ERROR_SYSTEM, NULL); // what it had not sent is missing: not ok any more
	check_last_bye(true);                         // and is to be kept there
	assert_true(fake.working);
}

static void test_cancelled_while_nodes_are_made(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	lifecycle_set_outcome(&w->c, "cancelled", ERROR_CANCELLED, "cancelled");
	lifecycle_dispatch(&w->c, HAPPENS_CANCEL, "cancelled");
	assert_true(w->c.cancelled);              // the executor sees it
	assert_true(fake.working);                // and is still at work
	fake_run_work(w, "cancelled on the way"); // which is no failure of its own
	check_outcome(w, "cancelled", ERROR_CANCELLED, "cancelled");
	assert_true(fake.working);
}

static void test_hurried_while_nodes_leave(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	w->c.cancels = 2;
	lifecycle_set_outcome(&w->c, "cancelled", ERROR_CANCELLED, "cancelled");
	lifecycle_dispatch(&w->c, HAPPENS_CANCEL, "cancelled");
	lifecycle_dispatch(&w->c, HAPPENS_HURRY, NULL);
	check_last_bye(false); // who stops a run at once leaves nothing on its nodes
}

static void test_stopped_at_once_while_nodes_are_made(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	lifecycle_set_outcome(&w->c, "cancelled", ERROR_CANCELLED, "cancelled");
	lifecycle_dispatch(&w->c, HAPPENS_CANCEL, "cancelled");
	lifecycle_dispatch(&w->c, HAPPENS_HURRY, NULL);
	assert_true(fake.working); // down waits until up has returned
	fake_run_work(w, NULL);
	assert_true(fake.working);
	fake_run_work(w, NULL);
	assert_string_equal(fake_run_work(w, NULL), "left");
	assert_int_equal(w->c.state, STATE_DONE);
}

static void test_something_is_left(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	fake_run_rank_exits(w, 0, 0, 1);
	fake_run_rank_exits(w, 1, 0, 1);
	json_array_append_new(w->left, mem_json("{s:s}", "what", "process"));
	fake_run_wind_up(w);
	check_outcome(w, "failed", ERROR_SYSTEM, NULL);
}

static void test_record_cannot_be_written(void **state)
{
	struct fake_run *w = *state;
	fake_run_start(w, "", false);
	fake_run_bring_up(w);
	node_events_ops.on_trouble("disk full", &w->c);
	check_outcome(w, "failed", ERROR_SYSTEM, "disk full");
	assert_int_equal(w->c.state, STATE_STOPPING);
	fake_run_wind_up(w);
	check_outcome(w, "failed", ERROR_SYSTEM, "disk full");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_goes_well, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_cannot_be_brought_up, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_nodes_do_not_come, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_executor_waits, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_rank_fails, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_retries, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_timeout, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_node_is_lost, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_node_is_told_to_stop, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_node_is_about_to_be_told, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_why_a_node_is_told_to_stop, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(
			test_told_to_stop_when_all_is_done, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_launch_is_sent_again, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_node_does_not_leave, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(
			test_cancelled_while_nodes_are_made, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(
			test_stopped_at_once_while_nodes_are_made, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_hurried_while_nodes_leave, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_something_is_left, fake_run_set_up, fake_run_tear_down),
		cmocka_unit_test_setup_teardown(test_record_cannot_be_written, fake_run_set_up, fake_run_tear_down),
	};
	return cmocka_run_group_tests_name("lifecycle", tests, NULL, NULL);
}
