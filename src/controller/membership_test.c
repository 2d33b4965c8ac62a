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
	r->nodes[0].hello = r->nodes[2].hello = true;
	assert_false(membership_all_hello(r));
	assert_int_equal(membership_missing(r, &first), 1);
	assert_int_equal(first, 1);
	r->nodes[1].hello = true;
	assert_true(membership_all_hello(r));
}

static void test_only_deciding_ranks_end_the_run(void **state)
{
	struct membership *r = *state;
	for (size_t i = 2; i < 6; i++) {
		assert_false(membership_all_done(r));
		r->ranks[i].state = RANK_ENDED;
	}
	assert_true(membership_all_done(r));
	r->ranks[5].status = 3;
	assert_false(membership_all_done(r));
	r->ranks[5].status = 0;
	membership_start_attempt(r);
	assert_false(membership_all_done(r));
}

static void test_gone(void **state)
{
	struct membership *r = *state;
	assert_true(membership_all_gone(r)); // nobody ever came
	r->nodes[1].hello = true;
	assert_false(membership_all_gone(r));
	r->nodes[1].gone = true;
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
		cmocka_unit_test_setup_teardown(test_too_many_fences, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
