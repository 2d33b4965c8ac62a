#include "base/mem.h"
#include "predict/iterations.h"
#include "wire/event.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void add(struct iterations *it, const char *type, double ts, int rank)
{
	autojson json_t *event = event_make(type, "s:i", "rank", rank);
	json_object_set_new(event, "ts", json_real(ts));
	iterations_add(it, event);
}

static void add_heads(struct iterations *it, int rank, double from, double done, size_t count, double total)
{
	autojson json_t *event =
		event_make("progress", "s:i, s:f, s:f, s:[]", "rank", rank, "total", total, "epoch", 10.0, "heads");
	for (size_t i = 0; i < count; i++)
		json_array_append_new(
			json_object_get(event, "heads"), mem_json("[f, f]", from + (double)i * 0.5, done + (double)i));
	iterations_add(it, event);
}

static void test_heads_become_turns(void **state)
{
	struct iterations *it = iterations_new();
	struct estimate_input in;
	assert_int_equal(iterations_leader(it), -1);
	assert_int_equal(iterations_input(it, 0, &in), 0);
	add(it, "start", 100, 0);
	add(it, "start", 100, 1);
	add_heads(it, 1, 103, 1, 4, 80);
	assert_int_equal(iterations_leader(it), 1);
	add_heads(it, 1, 105, 5, 2, 80);
	assert_int_equal(iterations_input(it, 1, &in), 1);
	assert_float_equal(in.before, 3, 1e-9);
	assert_float_equal(in.done, 1, 0);
	assert_float_equal(in.total, 80, 0);
	assert_float_equal(in.epoch, 10, 0);
	assert_int_equal(in.count, 5);
	for (size_t i = 0; i < in.count; i++) {
		assert_float_equal(in.turns[i].seconds, 0.5, 1e-9);
		assert_float_equal(in.turns[i].count, 1, 0);
	}
	assert_true(isnan(iterations_seconds(it, 1)));
	add(it, "exit", 150, 1);
	assert_float_equal(iterations_seconds(it, 1), 50, 1e-9);
	iterations_free(it);
}

static void test_another_attempt_begins_anew(void **state)
{
	struct iterations *it = iterations_new();
	struct estimate_input in;
	add(it, "start", 100, 0);
	add_heads(it, 0, 101, 1, 5, 80);
	add(it, "start", 200, 0);
	assert_int_equal(iterations_input(it, 0, &in), 0);
	add_heads(it, 0, 104, 7, 2, 80); // said by the first attempt, read later
	assert_int_equal(iterations_input(it, 0, &in), 0);
	add_heads(it, 0, 202, 1, 3, 80);
	assert_int_equal(iterations_input(it, 0, &in), 1);
	assert_float_equal(in.before, 2, 1e-9);
	assert_int_equal(in.count, 2);
	iterations_free(it);
}

// A loop that was over (steps of a setup) was not what the run is about; one inside of it is passed over with its
// total.
static void test_another_loop(void **state)
{
	struct iterations *it = iterations_new();
	struct estimate_input in;
	add(it, "start", 100, 0);
	add_heads(it, 0, 101, 1, 8, 8);
	add_heads(it, 0, 110, 1, 4, 80);
	add_heads(it, 0, 112, 3, 1, 9);
	assert_int_equal(iterations_input(it, 0, &in), 1);
	assert_float_equal(in.before, 10, 1e-9);
	assert_float_equal(in.done, 1, 0);
	assert_float_equal(in.total, 80, 0);
	assert_int_equal(in.count, 3);
	iterations_free(it);
}

static void test_nonsense_is_passed_over(void **state)
{
	static const char *const events[] = {"{}", "{\"rank\":0}", "{\"rank\":-1,\"heads\":[[1,1]]}",
		"{\"rank\":99999999,\"heads\":[[1,1]]}", "{\"rank\":0,\"heads\":7}",
		"{\"rank\":0,\"heads\":[1,[],[1],[\"a\",\"b\"],[null,1]]}", "{\"rank\":0,\"heads\":[[5,-3]]}"};
	struct iterations *it = iterations_new();
	struct estimate_input in;
	for (size_t i = 0; i < countof(events); i++) {
		autojson json_t *event = json_loads(events[i], 0, NULL);
		json_object_set_new(event, "type", json_string("progress"));
		iterations_add(it, event);
	}
	assert_int_equal(iterations_leader(it), -1);
	add_heads(it, 0, 10, 5, 1, 80);
	add_heads(it, 0, 9, 6, 1, 80);  // back in time
	add_heads(it, 0, 11, 5, 1, 80); // said twice
	assert_int_equal(iterations_input(it, 0, &in), 1);
	assert_int_equal(in.count, 0);
	iterations_free(it);
}

static void test_memory_is_bounded(void **state)
{
	struct iterations *it = iterations_new();
	struct estimate_input in;
	for (int i = 0; i < 100000; i++)
		iterations_head(it, 0, 10 + i * 0.25, i, NAN, 0);
	assert_int_equal(iterations_input(it, 0, &in), 1);
	assert_in_range(in.count, 2048, 4096);
	double seconds = 0, count = 0;
	for (size_t i = 0; i < in.count; i++) {
		seconds += in.turns[i].seconds;
		count += in.turns[i].count;
	}
	assert_float_equal(count, 99999, 0);
	assert_float_equal(seconds, 99999 * 0.25, 1e-6);
	iterations_free(it);
}

static void test_description(void **state)
{
	struct iterations *it = iterations_new();
	autojson json_t *nothing = iterations_describe(it, 0);
	assert_true(json_is_null(nothing));
	add(it, "start", 100, 0);
	add_heads(it, 0, 103, 1, 20, 80);
	autojson json_t *d = iterations_describe(it, 0);
	assert_int_equal(json_integer_value(json_object_get(d, "seen")), 17);
	assert_float_equal(json_number_value(json_object_get(d, "init")), 2.5, 1e-6);
	assert_float_equal(json_number_value(json_array_get(json_object_get(d, "total"), 0)), 3 + 79 * 0.5, 1e-6);
	assert_int_equal(json_array_size(json_object_get(d, "doubts")), 0);
	iterations_free(it);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads_become_turns),
		cmocka_unit_test(test_another_attempt_begins_anew),
		cmocka_unit_test(test_another_loop),
		cmocka_unit_test(test_nonsense_is_passed_over),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_description),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
