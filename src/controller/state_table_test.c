#include "base/mem.h"
#include "controller/state_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const enum happening all[] = {HAPPENS_GO, HAPPENS_ALL_UP, HAPPENS_RESUME, HAPPENS_RESIZE, HAPPENS_DRAINED,
	HAPPENS_ALL_HELLO, HAPPENS_ALL_DONE, HAPPENS_AGAIN, HAPPENS_FAIL, HAPPENS_CANCEL, HAPPENS_HURRY,
	HAPPENS_ALL_LEFT, HAPPENS_GONE};

static enum state after(enum state state, enum happening happening, enum action action)
{
	const struct transition *t = state_table_find(state, happening);
	assert_non_null(t);
	assert_int_equal(t->action, action);
	return t->next;
}

static void test_good_run(void **state)
{
	enum state s = STATE_PLANNED;
	s = after(s, HAPPENS_GO, ACTION_UP);
	s = after(s, HAPPENS_ALL_HELLO, ACTION_LAUNCH);
	s = after(s, HAPPENS_AGAIN, ACTION_LAUNCH);
	s = after(s, HAPPENS_ALL_DONE, ACTION_STOP);
	s = after(s, HAPPENS_ALL_LEFT, ACTION_DOWN);
	s = after(s, HAPPENS_GONE, ACTION_RECEIPT);
	assert_int_equal(s, STATE_DONE);
}

// It stays up whatever fails, changes when asked, and goes down by a word only, after the jobs on it; or at once by a
// second one.
static void test_persistent_cluster(void **state)
{
	enum state s = after(STATE_PLANNED, HAPPENS_GO, ACTION_UP);
	s = after(s, HAPPENS_ALL_UP, ACTION_READY);
	assert_int_equal(s, STATE_READY);
	assert_int_equal(after(STATE_PLANNED, HAPPENS_RESUME, ACTION_UP), STATE_READY);
	s = after(s, HAPPENS_FAIL, ACTION_NONE);
	s = after(s, HAPPENS_RESIZE, ACTION_UP);
	s = after(s, HAPPENS_ALL_UP, ACTION_READY);
	s = after(s, HAPPENS_CANCEL, ACTION_DRAIN);
	assert_int_equal(s, STATE_READY);
	assert_int_equal(after(s, HAPPENS_HURRY, ACTION_DOWN), STATE_STOPPING);
	s = after(s, HAPPENS_DRAINED, ACTION_STOP);
	assert_int_equal(s, STATE_STOPPING);
}

// Whatever was made is taken down: each state before done has a way to stop when something fails or somebody cancels.
static void test_every_state_can_stop(void **state)
{
	for (enum state s = STATE_PLANNED; s < STATE_STOPPING; s++) {
		if (s == STATE_READY)
			continue; // see test_persistent_cluster
		assert_int_equal(state_table_find(s, HAPPENS_FAIL)->next, STATE_STOPPING);
		assert_int_equal(state_table_find(s, HAPPENS_CANCEL)->next, STATE_STOPPING);
	}
	assert_int_equal(state_table_find(STATE_STOPPING, HAPPENS_HURRY)->action, ACTION_DOWN);
}

static void test_stopping_never_goes_back(void **state)
{
	for (size_t i = 0; i < countof(all); i++) {
		const struct transition *t = state_table_find(STATE_STOPPING, all[i]);
		assert_true(!t || t->next >= STATE_STOPPING);
		assert_null(state_table_find(STATE_DONE, all[i]));
	}
}

// Only the executor's own word ends a run, and only a run that went down can be done.
static void test_done_only_when_gone(void **state)
{
	for (enum state s = STATE_PLANNED; s <= STATE_DONE; s++)
		for (size_t i = 0; i < countof(all); i++) {
			const struct transition *t = state_table_find(s, all[i]);
			assert_int_equal(t && t->next == STATE_DONE, s == STATE_STOPPING && all[i] == HAPPENS_GONE);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good_run), cmocka_unit_test(test_persistent_cluster),
		cmocka_unit_test(test_every_state_can_stop), cmocka_unit_test(test_stopping_never_goes_back),
		cmocka_unit_test(test_done_only_when_gone)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
