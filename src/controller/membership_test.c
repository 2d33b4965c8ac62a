#include "base/mem.h"
#include "controller/membership.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

// Three nodes; two ranks on each; those of node 0 do not decide.
static json_t *make_plan(void)
{
	json_t *nodes = json_array(), *ranks = json_array();
	for (int n = 0; n < 3; n++)
		json_array_append_new(nodes, mem_json("{s:i}", "node", n));
	for (int r = 0; r < 6; r++)
		json_array_append_new(ranks, mem_json("{s:i, s:i, s:b}", "rank", r, "node", r / 2, "decides", r >= 2));
	return mem_json("{s:o, s:o}", "nodes", nodes, "ranks", ranks);
}

static int set_up(void **state)
{
	struct membership *r = mem_alloc(sizeof *r);
	autojson json_t *plan = make_plan();
	membership_init(r, plan);
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	membership_fini(*state);
	free(*state);
	return 0;
}

static void test_ranks_of_nodes(void **state)
{
	struct membership *r = *state;
	assert_int_equal(r->nnodes, 3);
	assert_int_equal(r->nodes[2].first, 4);
	assert_int_equal(r->nodes[2].count, 2);
}

static void test_hello(void **state)
{
	struct membership *r = *state;
	size_t first = 99;
	membership_set_hello(r, 0, true);
	membership_set_hello(r, 2, true);
	assert_false(membership_all_hello(r));
	assert_int_equal(membership_missing(r, &first), 1);
	assert_int_equal(first, 1);
	membership_set_hello(r, 1, true);
	assert_true(membership_all_hello(r));
}

static void test_only_deciding_ranks_end_the_run(void **state)
{
	struct membership *r = *state;
	for (size_t i = 2; i < 6; i++) {
		assert_false(membership_all_done(r));
		membership_set_rank(r, i, RANK_ENDED, 0, 0);
	}
	assert_true(membership_all_done(r));
	membership_set_rank(r, 5, RANK_ENDED, 3, 0);
	assert_false(membership_all_done(r));
	membership_set_rank(r, 5, RANK_ENDED, 0, 0);
	assert_true(membership_all_done(r));
	membership_start_attempt(r);
	assert_false(membership_all_done(r));
}

static void test_gone(void **state)
{
	struct membership *r = *state;
	assert_true(membership_all_gone(r)); // nobody ever came
	membership_set_hello(r, 1, true);
	assert_false(membership_all_gone(r));
	membership_set_gone(r, 1, true);
	assert_true(membership_all_gone(r));
}

static const json_t *bring(struct membership *r, size_t node, const char *name, int value)
{
	autojson json_t *data = json_integer(value);
	return membership_fence(r, node, name, data);
}

static void test_fence_gathers_in_node_order(void **state)
{
	struct membership *r = *state;
	assert_null(bring(r, 2, "a", 12));
	assert_null(bring(r, 0, "a", 10));
	assert_null(bring(r, 0, "a", 99)); // said again after a broken line: the first word counts
	const json_t *all = bring(r, 1, "a", 11);
	assert_non_null(all);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(json_integer_value(json_array_get(all, i)), 10 + i);
}

static void test_fence_can_be_answered_again(void **state)
{
	struct membership *r = *state;
	bring(r, 0, "a", 1);
	bring(r, 1, "a", 2);
	bring(r, 2, "a", 3);
	assert_null(bring(r, 1, "b", 5));
	const json_t *again = bring(r, 0, "a", 7);
	assert_non_null(again);
	assert_int_equal(json_integer_value(json_array_get(again, 0)), 1);
	membership_start_attempt(r);
	assert_null(bring(r, 0, "a", 7));
}

static void test_phase_begins_once_and_ends_once(void **state)
{
	struct membership *r = *state;
	assert_true(membership_phase(r, 1, "preflight", true));
	assert_false(membership_phase(r, 0, "preflight", true));
	assert_false(membership_phase(r, 1, "preflight", false));
	assert_true(membership_phase(r, 1, "run", true)); // ahead of the others
	assert_false(membership_phase(r, 0, "preflight", false));
	assert_false(membership_phase(r, 2, "preflight", true));
	assert_true(membership_phase(r, 2, "preflight", false));
	assert_false(membership_phase(r, 0, "no such phase", true));
}

static void test_nodes_that_are_gone_end_no_phase(void **state)
{
	struct membership *r = *state;
	for (size_t i = 0; i < 3; i++)
		membership_phase(r, i, "run", true);
	membership_set_gone(r, 1, true);
	assert_false(membership_phase(r, 0, "run", false));
	assert_true(membership_phase(r, 2, "run", false));
	membership_set_gone(r, 1, false); // it has come back, and is still at it
	assert_false(membership_phase(r, 2, "run", false));
	assert_true(membership_phase(r, 1, "run", false));
	assert_true(membership_phase(r, 1, "collect", true));
}

static void test_checked_nodes_are_in_no_phase(void **state)
{
	struct membership *r = *state;
	for (size_t i = 0; i < 3; i++) {
		assert_false(membership_all_checked(r));
		membership_phase(r, i, "preflight", true);
		membership_set_checked(r, i);
	}
	assert_true(membership_all_checked(r));
	assert_false(membership_phase(r, 0, "collect", true));
}

// Every node brings null to a barrier: that it has come is no matter of what it brings.
static void test_barrier(void **state)
{
	struct membership *r = *state;
	assert_null(membership_fence(r, 0, "b", json_null()));
	assert_null(membership_fence(r, 0, "b", json_null()));
	assert_null(membership_fence(r, 1, "b", NULL));
	const json_t *all = membership_fence(r, 2, "b", json_null());
	for (size_t i = 0; i < 3; i++)
		assert_true(json_is_null(json_array_get(all, i)));
}

static void test_fences_do_not_outlive_a_resize(void **state)
{
	struct membership *r = *state;
	bring(r, 0, "a", 1);
	bring(r, 1, "a", 1);
	membership_resize(r, 4);
	assert_int_equal(json_object_size(r->fences), 0);
	for (size_t i = 0; i < 3; i++)
		assert_null(bring(r, i, "a", 2));
	assert_int_equal(json_array_size(bring(r, 3, "a", 2)), 4);
	assert_int_equal(r->nodes[0].fences, 0);
}

// So many that whatever looks at all nodes for an event of one takes minutes.
static void test_many_nodes(void **state)
{
	enum { MANY = 300000 };
	static const char *const names[] = {"preflight", "stage", "setup", "run", "collect"};
	struct membership r;
	size_t begun = 0, ended = 0, met = 0;
	autojson json_t *plan = mem_json("{s:[], s:[]}", "nodes", "ranks");
	for (int i = 0; i < MANY; i++) {
		json_array_append_new(json_object_get(plan, "nodes"), json_null());
		json_array_append_new(json_object_get(plan, "ranks"), mem_json("{s:i, s:b}", "node", i, "decides", 1));
	}
	membership_init(&r, plan);
	for (size_t i = 0; i < MANY; i++) {
		assert_false(membership_all_hello(&r));
		membership_set_hello(&r, i, true);
		met += membership_fence(&r, i, "barrier", json_null()) != NULL;
	}
	for (size_t p = 0; p < countof(names); p++) {
		for (size_t i = 0; i < MANY; i++)
			begun += membership_phase(&r, i, names[p], true);
		for (size_t i = MANY; i-- > 0;)
			ended += membership_phase(&r, i, names[p], false);
	}
	for (size_t i = 0; i < MANY; i++) {
		assert_false(membership_all_done(&r) || membership_all_gone(&r));
		membership_set_rank(&r, i, RANK_ENDED, 0, 0);
		membership_set_gone(&r, i, true);
	}
	assert_true(membership_all_hello(&r) && membership_all_done(&r) && membership_all_gone(&r));
	assert_int_equal(met, 1);
	assert_int_equal(begun, countof(names));
	assert_int_equal(ended, countof(names));
	membership_fini(&r);
}

// A node that comes to fences without end does not fill the memory, and keeps nobody else from meeting.
static void test_too_many_fences(void **state)
{
	struct membership *r = *state;
	for (int i = 0; i < 1000; i++) {
		autofree char *name = mem_printf("fence-%d", i);
		assert_null(membership_fence(r, 0, name, json_null()));
	}
	assert_true(json_object_size(r->fences) <= 16);
	assert_null(membership_fence(r, 1, "fence-3", json_null()));
	assert_non_null(membership_fence(r, 2, "fence-3", json_null()));
	assert_null(membership_fence(r, 0, "another", json_null())); // there is room for one again
	assert_null(membership_fence(r, 1, "another", json_null()));
	assert_non_null(membership_fence(r, 2, "another", json_null()));
	membership_start_attempt(r);
	assert_int_equal(json_object_size(r->fences), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ranks_of_nodes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hello, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_only_deciding_ranks_end_the_run, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fence_gathers_in_node_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fence_can_be_answered_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_phase_begins_once_and_ends_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nodes_that_are_gone_end_no_phase, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checked_nodes_are_in_no_phase, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_barrier, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fences_do_not_outlive_a_resize, set_up, tear_down),
		cmocka_unit_test(test_many_nodes),
		cmocka_unit_test_setup_teardown(test_too_many_fences, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
