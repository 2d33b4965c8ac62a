#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/plan_make.h"
#include "node/output_parser.h"
#include "wire/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static json_t *events; // with "local"

static void on_event(size_t local, json_t *event, void *data)
{
	json_object_set_new(event, "local", json_integer((json_int_t)local));
	json_array_append_new(events, event);
}

static int setup(void **state)
{
	events = json_array();
	return 0;
}

static int teardown(void **state)
{
	json_decref(events);
	return 0;
}

static struct output_parser *start(json_t *plan)
{
	autojson json_t *own = plan;
	struct error err = {0};
	struct output_parser *s = output_parser_new(plan, 2, on_event, NULL, &err);
	if (!s)
		fail_msg("%s", err.text);
	return s;
}

static void say(struct output_parser *s, size_t local, const char *text)
{
	output_parser_output(s, local, text, strlen(text));
}

static json_t *metrics(const char *name, const char *pattern)
{
	return mem_json(
		"{s:[{s:s, s:s, s:s}], s:[]}", "metrics", "name", name, "pattern", pattern, "unit", "u", "progress");
}

static void expect_metric(size_t i, const char *name, double value, json_int_t step)
{
	const json_t *e = json_array_get(events, i);
	assert_non_null(e);
	assert_true(event_is(e, "metric"));
	assert_string_equal(json_string_value(json_object_get(e, "name")), name);
	assert_float_equal(json_number_value(json_object_get(e, "value")), value, 1e-9);
	const json_t *have = json_object_get(e, "step");
	assert_int_equal(have ? json_integer_value(have) : -1, step);
}

static void expect_last(struct output_parser *s, size_t local, size_t count, const char *oldest, const char *newest)
{
	autojson json_t *last = output_parser_last(s, local);
	assert_int_equal(json_array_size(last), count);
	if (count == 0)
		return;
	assert_string_equal(json_string_value(json_array_get(last, 0)), oldest);
	assert_string_equal(json_string_value(json_array_get(last, count - 1)), newest);
}

static void metrics_are_found_however_the_output_is_cut(void **state)
{
	static const char text[] =
		"start\nloss: 1.5 (10)\rloss: 0.25 (11)\r\nnothing\nloss: nan (12)\nloss: -2e-3 (13)\nloss: 7 (14)";
	for (size_t piece = 1; piece <= sizeof text; piece++) {
		json_array_clear(events);
		struct output_parser *s = start(metrics("loss", "loss: (?<value>\\S+) \\((?<step>\\d+)\\)"));
		for (size_t at = 0; at < sizeof text - 1; at += piece)
			output_parser_output(
				s, 1, text + at, piece < sizeof text - 1 - at ? piece : sizeof text - 1 - at);
		assert_int_equal(json_array_size(events), 3);
		output_parser_end(s, 1);
		assert_int_equal(json_array_size(events), 4);
		expect_metric(0, "loss", 1.5, 10);
		expect_metric(1, "loss", 0.25, 11);
		expect_metric(2, "loss", -2e-3, 13);
		expect_metric(3, "loss", 7, 14);
		assert_int_equal(json_integer_value(json_object_get(json_array_get(events, 0), "local")), 1);
		assert_string_equal(json_string_value(json_object_get(json_array_get(events, 0), "unit")), "u");
		expect_last(s, 1, 7, "start", "loss: 7 (14)");
		expect_last(s, 0, 0, NULL, NULL);
		output_parser_free(s);
	}
}

static void the_first_group_is_the_value(void **state)
{
	struct output_parser *s = start(metrics("m", "m=(\\d+) (\\d+)"));
	say(s, 0, "m=3 4\n");
	expect_metric(0, "m", 3, -1);
	output_parser_free(s);
	s = start(metrics("m", "m=\\d+")); // no group, no value
	say(s, 0, "m=3\n");
	assert_int_equal(json_array_size(events), 1);
	output_parser_free(s);
}

static void progress_comes_once_a_second_and_at_the_end(void **state)
{
	struct output_parser *s = start(mem_json("{s:[s, s]}", "progress",
		"epoch (?<epoch>\\d+)/(?<epochs>\\d+) \\[(?<done>\\d+)/(?<total>\\d+)\\]",
		"^(?<done>\\d+) of (?<total>\\d+)$"));
	say(s, 0, "epoch 2/4 [5/10]\n");
	say(s, 0, "epoch 2/4 [6/10]\n");
	say(s, 1, "7 of 8\n");
	say(s, 0, "epoch 4/4 [10/10]\n");
	say(s, 0, "3 of 0\n");
	output_parser_end(s, 0);
	assert_int_equal(json_array_size(events), 3);
	const json_t *e = json_array_get(events, 0);
	assert_true(event_is(e, "progress"));
	assert_float_equal(json_number_value(json_object_get(e, "epoch")), 10, 0);
	assert_int_equal(json_array_size(json_object_get(e, "heads")), 1);
	const json_t *heads = json_object_get(json_array_get(events, 2), "heads");
	assert_int_equal(json_array_size(heads), 2); // 16 was not told by itself
	assert_float_equal(json_number_value(json_array_get(json_array_get(heads, 0), 1)), 16, 0);
	assert_true(json_number_value(json_array_get(json_array_get(heads, 0), 0)) <
		    json_number_value(json_array_get(json_array_get(heads, 1), 0)));
	assert_float_equal(json_number_value(json_object_get(e, "done")), 15, 0);
	assert_float_equal(json_number_value(json_object_get(e, "total")), 40, 0);
	assert_float_equal(json_number_value(json_object_get(json_array_get(events, 1), "done")), 7, 0);
	assert_float_equal(json_number_value(json_object_get(json_array_get(events, 2), "done")), 40, 0);
	output_parser_free(s);
}

// Lines that came in one piece count as the last of them; the end of the output tells what was kept back.
static void loops_are_told_apart(void **state)
{
	struct output_parser *s = start(mem_json("{s:o}", "progress", plan_make_progress_patterns()));
	say(s, 0, "step 1/3 of setup\n");
	say(s, 0, "step 2/3 of setup\nstep 3/3 of setup\nstep 1/50\nbatch 2/4\n");
	say(s, 0, "batch 3/4\n");
	output_parser_end(s, 0);
	static const double expected[][2] = {{1, 3}, {3, 3}, {1, 50}};
	assert_int_equal(json_array_size(events), countof(expected));
	for (size_t i = 0; i < countof(expected); i++) {
		assert_float_equal(
			json_number_value(json_object_get(json_array_get(events, i), "done")), expected[i][0], 0);
		assert_float_equal(
			json_number_value(json_object_get(json_array_get(events, i), "total")), expected[i][1], 0);
	}
	output_parser_free(s);
}

static void heads_are_of_pieces_and_the_last_are_told(void **state)
{
	struct output_parser *s = start(mem_json("{s:[s], s:i}", "progress", "turn (\\d+)", "total", 50));
	say(s, 0, "turn 1\nturn 2\nturn 3\n");
	say(s, 0, "turn 4\nturn 5\n");
	assert_int_equal(json_array_size(events), 1);
	output_parser_end(s, 0);
	assert_int_equal(json_array_size(events), 2);
	for (size_t i = 0; i < 2; i++) {
		const json_t *heads = json_object_get(json_array_get(events, i), "heads");
		assert_int_equal(json_array_size(heads), 1);
		assert_float_equal(json_number_value(json_array_get(json_array_get(heads, 0), 1)), i ? 5 : 3, 0);
		assert_float_equal(json_number_value(json_object_get(json_array_get(events, i), "total")), 50, 0);
	}
	output_parser_free(s);
}

static void heads_are_thinned(void **state)
{
	enum { LINES = 1000 };
	struct output_parser *s = start(mem_json("{s:[s]}", "progress", "turn (\\d+)"));
	for (int i = 1; i <= LINES; i++) {
		autofree char *line = mem_printf("turn %d\n", i);
		say(s, 0, line);
	}
	output_parser_end(s, 0);
	const json_t *e = json_array_get(events, 1), *heads = json_object_get(e, "heads");
	assert_true(json_is_null(json_object_get(e, "total")));
	size_t count = json_array_size(heads);
	assert_in_range(count, 64, 128);
	double before = 2;
	assert_float_equal(json_number_value(json_array_get(json_array_get(heads, 0), 1)), before, 0);
	for (size_t i = 1; i < count; i++) {
		double done = json_number_value(json_array_get(json_array_get(heads, i), 1));
		assert_true(done > before && done <= before + 16);
		before = done;
	}
	assert_float_equal(before, LINES, 0);
	output_parser_free(s);
}

static void it_is_said_that_no_line_matches(void **state)
{
	struct output_parser *s = start(
		mem_json("{s:[s], s:i}", "progress", "batch (?<done>\\d+) of (?<total>\\d+) finished", "watched", 60));
	say(s, 0, "reading 7 files\n");
	say(s, 0, "Batch 1/20 finished\n");
	say(s, 0, "of 8 batches\n");
	output_parser_end(s, 1); // it printed nothing: nothing to say
	assert_int_equal(json_array_size(events), 0);
	output_parser_end(s, 0);
	assert_int_equal(json_array_size(events), 1);
	const char *why = json_string_value(json_object_get(json_array_get(events, 0), "why"));
	assert_non_null(strstr(why, "no line of the output matches the progress pattern 'batch (?<done>"));
	assert_non_null(strstr(why, "the nearest is: Batch 1/20 finished"));
	output_parser_free(s);
}

// While the job runs: once the time that the plan gives is over, also when nothing more is printed, and once.
static void it_is_said_in_time_that_no_line_matches(void **state)
{
	struct output_parser *s =
		start(mem_json("{s:[s], s:f}", "progress", "batch (?<done>\\d+) of (?<total>\\d+)", "watched", 0.2));
	output_parser_watch(s);
	say(s, 0, "reading 7 files\n");
	say(s, 0, "Batch 1/20\n");
	say(s, 1, "batch 1 of 20\n");
	size_t before = json_array_size(events); // rank 1's progress
	output_parser_watch(s);
	assert_int_equal(json_array_size(events), before);
	double deadline = clock_mono() + 5;
	while (json_array_size(events) == before && clock_mono() < deadline) {
		usleep(10000);
		output_parser_watch(s);
	}
	assert_int_equal(json_array_size(events), before + 1);
	const json_t *warn = json_array_get(events, before);
	assert_true(event_is(warn, "warn"));
	assert_non_null(strstr(json_string_value(json_object_get(warn, "why")),
		"no line of the first minute matches the progress pattern 'batch (?<done>\\d+) of (?<total>\\d+)'; the "
		"nearest is: Batch 1/20"));
	output_parser_watch(s);
	output_parser_end(s, 0);
	assert_int_equal(json_array_size(events), before + 1);
	output_parser_free(s);
}

// Epochs that are counted from 0, and those that lines of their own announce.
static void epochs_are_counted_as_programs_do(void **state)
{
	struct output_parser *s = start(mem_json("{s:o}", "progress", plan_make_progress_patterns()));
	say(s, 0, "[0/25][0/1583]\tLoss_D: 1.2\n");
	say(s, 0, "[1/25][50/1583]\tLoss_D: 1.2\n");
	say(s, 1, "Epoch 2/3\n");
	say(s, 1, "\r 10/469 [>.............................] - ETA: 12s - loss: 2.3\r");
	output_parser_end(s, 0);
	assert_int_equal(json_array_size(events), 3);
	static const double expected[][3] = {{0, 39575, 1583}, {479, 1407, 469}, {1633, 39575, 1583}};
	for (size_t i = 0; i < countof(expected); i++) {
		const json_t *e = json_array_get(events, i);
		assert_float_equal(json_number_value(json_object_get(e, "done")), expected[i][0], 0);
		assert_float_equal(json_number_value(json_object_get(e, "total")), expected[i][1], 0);
		assert_float_equal(json_number_value(json_object_get(e, "epoch")), expected[i][2], 0);
	}
	output_parser_free(s);
}

static void long_lines_are_cut(void **state)
{
	enum { LONG = 1000000 };
	autofree char *line = mem_alloc(LONG + 1);
	memset(line, 'x', LONG);
	memcpy(line + 100, " v=1 ", 5);
	memcpy(line + 100000, " v=2 ", 5); // behind what is looked at
	for (size_t piece = 1000; piece <= LONG; piece *= 10) {
		json_array_clear(events);
		struct output_parser *s = start(metrics("v", "v=(\\d)"));
		for (size_t at = 0; at < LONG; at += piece)
			output_parser_output(s, 0, line + at, piece);
		say(s, 0, "\nv=3\n");
		assert_int_equal(json_array_size(events), 2);
		expect_metric(0, "v", 1, -1);
		expect_metric(1, "v", 3, -1);
		autojson json_t *last = output_parser_last(s, 0);
		assert_int_equal(json_array_size(last), 2);
		assert_int_equal(json_string_length(json_array_get(last, 0)), 400);
		output_parser_free(s);
	}
}

static void the_last_lines_are_kept_clean(void **state)
{
	struct output_parser *s = output_parser_new(NULL, 2, on_event, NULL, NULL);
	autostr struct str text = {0};
	for (int i = 0; i < 100000; i++)
		str_printf(&text, "line %d\n", i);
	output_parser_output(s, 0, text.text, text.len); // all at once, and in pieces
	for (size_t at = 0; at < text.len; at += 7)
		output_parser_output(s, 1, text.text + at, text.len - at < 7 ? text.len - at : 7);
	expect_last(s, 0, 10, "line 99990", "line 99999");
	expect_last(s, 1, 10, "line 99990", "line 99999");
	output_parser_output(s, 0, "a\0b\xff\xc3\xa9\n\n\n", 9);
	expect_last(s, 0, 10, "line 99991", "a?b\xef\xbf\xbd\xc3\xa9");
	assert_int_equal(json_array_size(events), 0);
	output_parser_free(s);
}

static void no_pattern_hangs_the_agent(void **state)
{
	struct output_parser *s = start(metrics("bad", "^((a+)+)$"));
	autofree char *line = mem_alloc(60001);
	memset(line, 'a', 59999);
	line[59999] = '!';
	double before = clock_mono();
	for (int i = 0; i < 5; i++) {
		say(s, 0, line);
		say(s, 0, "\n");
	}
	assert_true(clock_mono() - before < 5);
	assert_int_equal(json_array_size(events), 0);
	output_parser_free(s);
	s = start(metrics("m", "m=(\\d)"));
	autofree char *bars = mem_alloc(8 << 20); // a progress bar's lines, and no newline
	for (size_t i = 0; i < 8 << 20; i++)
		bars[i] = i % 16 == 15 ? '\r' : '#';
	before = clock_mono();
	output_parser_output(s, 0, bars, 8 << 20);
	assert_true(clock_mono() - before < 5);
	output_parser_free(s);
}

static void bad_patterns_are_errors(void **state)
{
	autojson json_t *plan = metrics("m", "a(b");
	struct error err = {0};
	assert_null(output_parser_new(plan, 1, on_event, NULL, &err));
	assert_non_null(strstr(err.text, "pattern 'a(b' at character 4"));
	output_parser_free(NULL);
}

static void json_lines_are_metrics(void **state)
{
	struct output_parser *s = start(NULL);
	static const char *const good[] = {"{\"name\": \"a\", \"value\": 1}",
		"{\"name\": \"b\", \"value\": 2.5, \"step\": 7, \"unit\": \"s\", \"more\": []}\n"};
	for (size_t i = 0; i < countof(good); i++)
		output_parser_json_line(s, 0, good[i], strlen(good[i]));
	assert_int_equal(json_array_size(events), 2);
	expect_metric(0, "a", 1, -1);
	expect_metric(1, "b", 2.5, 7);
	assert_string_equal(json_string_value(json_object_get(json_array_get(events, 1), "unit")), "s");
	static const char *const bad[] = {"", "{", "[]", "1", "null", "{}", "{\"name\": \"a\"}", "{\"value\": 1}",
		"{\"name\": \"\", \"value\": 1}", "{\"name\": 1, \"value\": 1}", "{\"name\": \"a\", \"value\": \"1\"}",
		"{\"name\": \"a\", \"value\": NaN}", "{\"name\": \"a\", \"value\": 1e999}",
		"{\"name\": \"a\", \"value\": 1} x", "{\"name\": \"\xff\", \"value\": 1}"};
	for (size_t i = 0; i < countof(bad); i++)
		output_parser_json_line(s, 0, bad[i], strlen(bad[i]));
	autofree char *deep = mem_alloc(100001);
	memset(deep, '[', 100000);
	output_parser_json_line(s, 0, deep, 100000);
	assert_int_equal(json_array_size(events), 2);
	output_parser_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(metrics_are_found_however_the_output_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(the_first_group_is_the_value, setup, teardown),
		cmocka_unit_test_setup_teardown(it_is_said_in_time_that_no_line_matches, setup, teardown),
		cmocka_unit_test_setup_teardown(epochs_are_counted_as_programs_do, setup, teardown),
		cmocka_unit_test_setup_teardown(progress_comes_once_a_second_and_at_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(loops_are_told_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(heads_are_of_pieces_and_the_last_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(heads_are_thinned, setup, teardown),
		cmocka_unit_test_setup_teardown(it_is_said_that_no_line_matches, setup, teardown),
		cmocka_unit_test_setup_teardown(long_lines_are_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_lines_are_kept_clean, setup, teardown),
		cmocka_unit_test_setup_teardown(no_pattern_hangs_the_agent, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_patterns_are_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(json_lines_are_metrics, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
