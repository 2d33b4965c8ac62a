#include "base/mem.h"
#include "predict/estimate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEEN = 40 };

// A little noise, the same each time: a tenth of a percent to either side.
static double noise(size_t i)
{
	return 0.001 * ((double)(i * 10 % 21) / 10 - 1);
}

struct stream {
	struct estimate_turn turns[1000];
	struct estimate_input input;
	double truth;
};

// The whole stream; the estimate sees its first SEEN turns.
static void fill(struct stream *s, size_t total, double (*turn)(size_t i))
{
	*s = (struct stream){.input = {.before = 5, .total = (double)total, .last = NAN, .count = SEEN}, .truth = 5};
	s->input.turns = s->turns;
	for (size_t i = 0; i < total; i++) {
		s->turns[i] = (struct estimate_turn){turn(i), 1};
		s->truth += s->turns[i].seconds;
	}
}

static void assert_near(double value, double expected, double within)
{
	if (!(fabs(value - expected) <= within))
		fail_msg("%g is not within %g of %g", value, within, expected);
}

static double steady(size_t i)
{
	return 0.5 + noise(i);
}

static void test_steady(void **state)
{
	struct stream s;
	fill(&s, 1000, steady);
	struct estimate e = estimate_make(&s.input);
	assert_int_equal(e.doubts, 0);
	assert_int_equal(e.seen, SEEN);
	assert_int_equal(e.warm_up, 0);
	assert_near(e.init, 5, 0);
	assert_near(e.turn, 0.5, 0.0003);
	assert_near(e.median, 0.5, 0.0005);
	assert_true(e.turn_low < e.turn && e.turn < e.turn_high);
	assert_near(e.total, s.truth, 0.3);
	assert_true(e.total_low < s.truth && s.truth < e.total_high);
	assert_true(e.total_high - e.total_low < 0.01 * s.truth);
}

// What has gone by is known: at the end nothing is left to guess.
static void test_whole_run_seen(void **state)
{
	struct stream s;
	fill(&s, SEEN, steady);
	struct estimate e = estimate_make(&s.input);
	assert_near(e.total, s.truth, 1e-9);
	assert_near(e.total_low, s.truth, 1e-9);
	assert_near(e.total_high, s.truth, 1e-9);
}

static double compiles_first(size_t i)
{
	return (i < 3 ? 4 - (double)i : 0.5) + noise(i);
}

static void test_warm_up_is_left_out(void **state)
{
	struct stream s;
	fill(&s, 1000, compiles_first);
	struct estimate e = estimate_make(&s.input);
	assert_in_range(e.warm_up, 3, 6);
	assert_int_equal(e.doubts, 0);
	assert_near(e.turn, 0.5, 0.0003);
	assert_near(e.total, s.truth, 0.3);
}

static double checkpoints(size_t i)
{
	return 0.5 + noise(i) + (i % 10 == 9 ? 2 : 0);
}

static void test_regular_pauses_are_counted_out(void **state)
{
	struct stream s;
	fill(&s, 1000, checkpoints);
	struct estimate e = estimate_make(&s.input);
	assert_int_equal(e.pauses, 4);
	assert_true(e.every == 10);
	assert_int_equal(e.doubts, 0);
	assert_near(e.turn, 0.5, 0.0003);
	assert_near(e.total, s.truth, 0.4);
	assert_true(e.total_low < s.truth && s.truth < e.total_high);
}

static double now_and_then(size_t i)
{
	return 0.5 + noise(i) + (i * 7919 % 101 < 8 ? 1 : 0);
}

static void test_pauses_without_a_rule_widen_the_interval(void **state)
{
	struct stream s;
	fill(&s, 1000, now_and_then);
	struct estimate e = estimate_make(&s.input);
	assert_in_range(e.pauses, 2, 4);
	assert_true(e.every == 0);
	assert_int_equal(e.doubts, ESTIMATE_PAUSES);
	assert_true(e.total_low < s.truth && s.truth < e.total_high);
	assert_true(e.total_low > 5 + SEEN * 0.5); // never less than what has gone by
}

static double partial(size_t i)
{
	return (0.5 + noise(i)) * (i % 16 == 15 ? 0.25 : 1);
}

static void test_partial_batch_seen(void **state)
{
	struct stream s;
	fill(&s, 960, partial);
	s.input.epoch = 16;
	struct estimate e = estimate_make(&s.input);
	assert_int_equal(e.doubts, 0);
	assert_near(e.turn, 0.5, 0.0003);
	assert_near(e.total, s.truth, 0.4);
}

static double partial_later(size_t i)
{
	return (0.5 + noise(i)) * (i % 64 == 63 ? 0.25 : 1);
}

static void test_partial_batch_known(void **state)
{
	struct stream s;
	fill(&s, 960, partial_later);
	s.input.epoch = 64;
	struct estimate e = estimate_make(&s.input);
	assert_int_equal(e.doubts, ESTIMATE_EPOCH_END);
	s.input.last = 0.25;
	e = estimate_make(&s.input);
	assert_int_equal(e.doubts, 0);
	assert_near(e.total, s.truth, 0.4);
}

// The one end of an epoch that is the run's own cannot be seen before: it is no reason to wait, and may take a turn
// less.
static void test_one_epoch(void **state)
{
	struct stream s;
	fill(&s, 100, steady);
	double without = estimate_make(&s.input).total_low;
	s.input.epoch = 100;
	struct estimate e = estimate_make(&s.input);
	assert_int_equal(e.doubts, 0);
	assert_true(e.total_low < without);
	assert_near(e.total - e.total_low, e.turn, 0.1);
	s.input.epoch = 80; // there is one that will be seen
	assert_int_equal(estimate_make(&s.input).doubts, ESTIMATE_EPOCH_END);
}

// A log may say that more was done than the run has.
static void test_more_than_all(void **state)
{
	struct stream s;
	fill(&s, 1000, now_and_then);
	s.input.total = 20;
	struct estimate e = estimate_make(&s.input);
	double gone = s.input.before;
	for (size_t i = 0; i < SEEN; i++)
		gone += s.turns[i].seconds;
	assert_near(e.total, gone, 1e-9);
	assert_near(e.total_low, gone, 1e-9);
	assert_near(e.total_high, gone, 1e-9);
	fill(&s, 1000, checkpoints);
	s.input.total = 20;
	assert_false(isnan(estimate_make(&s.input).total_high));
}

static double longer_and_longer(size_t i)
{
	return 0.5 + 0.002 * (double)i + noise(i);
}

static double two_kinds(size_t i)
{
	return (i * 7919 % 13 < 5 ? 0.6 : 0.5) + noise(i);
}

static void test_doubts(void **state)
{
	struct stream s;
	fill(&s, 1000, longer_and_longer);
	struct estimate e = estimate_make(&s.input);
	assert_int_equal(e.doubts, ESTIMATE_TREND);
	assert_true(e.total_high > s.truth); // it may go on like this
	fill(&s, 1000, two_kinds);
	e = estimate_make(&s.input);
	assert_int_equal(e.doubts, ESTIMATE_TWO_MODES);
	assert_true(e.total_low < s.truth && s.truth < e.total_high);
	fill(&s, 1000, steady);
	s.input.count = 4;
	e = estimate_make(&s.input);
	assert_int_equal(e.doubts, ESTIMATE_FEW);
	assert_true(e.total_low < s.truth && s.truth < e.total_high);
	s.input.count = 0;
	e = estimate_make(&s.input);
	assert_int_equal(e.doubts, ESTIMATE_NOTHING);
	assert_true(isnan(e.total));
}

// Where not every head was seen, the pace is the same.
static void test_turns_put_together(void **state)
{
	struct stream s;
	fill(&s, 1000, steady);
	struct estimate_turn fives[SEEN / 5] = {0};
	for (size_t i = 0; i < SEEN; i++) {
		fives[i / 5].seconds += s.turns[i].seconds;
		fives[i / 5].count++;
	}
	s.input.turns = fives;
	s.input.count = countof(fives);
	struct estimate e = estimate_make(&s.input);
	assert_near(e.turn, 0.5, 0.0003);
	assert_near(e.total, s.truth, 0.3);
}

// Times that were printed with few digits are all the same: that must not make an interval of nothing.
static void test_no_spread_at_all(void **state)
{
	struct estimate_turn turns[SEEN];
	for (size_t i = 0; i < SEEN; i++)
		turns[i] = (struct estimate_turn){0.5, 1};
	struct estimate_input input = {
		.before = 1, .done = 1, .total = 1000, .last = NAN, .turns = turns, .count = SEEN};
	struct estimate e = estimate_make(&input);
	assert_near(e.total, 1 + 999 * 0.5, 1e-9);
	assert_true(e.total_high > e.total && e.total_low < e.total);
}

static double slow_and_fast(size_t i)
{
	return (i / 8 % 2 ? 0.5 : 0.6) + noise(i);
}

static double slow_then_fast(size_t i)
{
	return (i < 3 ? 0.9 - 0.15 * (double)i : 0.5) + noise(i);
}

// A level at the beginning may come again, an approach does not.
static void test_level_is_no_warm_up(void **state)
{
	struct stream s;
	fill(&s, 1000, slow_and_fast);
	s.input.count = 16;
	struct estimate e = estimate_make(&s.input);
	assert_int_equal(e.warm_up, 0);
	assert_true(e.doubts & ESTIMATE_TWO_MODES);
	assert_true(e.total_low < s.truth && s.truth < e.total_high);
	fill(&s, 1000, slow_then_fast);
	s.input.count = 16;
	e = estimate_make(&s.input);
	assert_in_range(e.warm_up, 3, 5);
	assert_int_equal(e.doubts, 0);
}

static double first_pauses(size_t i)
{
	return 0.5 + noise(i) + (i % 9 == 0 || i == 13 || i == 29 ? 1 : 0);
}

static void test_pause_at_the_beginning(void **state)
{
	struct stream s;
	fill(&s, 1000, first_pauses);
	struct estimate e = estimate_make(&s.input);
	assert_int_equal(e.warm_up, 0);
	assert_int_equal(e.pauses, 7);
	assert_true(e.total_low < s.truth && s.truth < e.total_high);
}

// Lines that come by the clock, not by turns: most stand for many turns, some for few. Their paces' mean is not the
// turns'.
static void test_lines_by_the_clock(void **state)
{
	struct estimate_turn turns[SEEN];
	double done = 0;
	for (size_t i = 0; i < SEEN; i++) {
		turns[i] = (struct estimate_turn){0.1, i * 7919 % 13 < 5 ? 50 : 150};
		done += turns[i].count;
	}
	struct estimate_input input = {.total = 100 * done, .last = NAN, .turns = turns, .count = SEEN};
	struct estimate e = estimate_make(&input);
	assert_near(e.total, 400, 8);
	assert_true(e.total_low < 400 && e.total_high > 400 && e.total_high - e.total_low < 200);
}

// Times that were printed with few digits hide up to half of the last one, if they are alike; stamps only at both ends.
static void test_grain(void **state)
{
	struct estimate_turn turns[SEEN];
	for (size_t i = 0; i < SEEN; i++)
		turns[i] = (struct estimate_turn){i % 3 ? 0.13 : 0.12, 1};
	struct estimate_input input = {.total = 1000, .last = NAN, .turns = turns, .count = SEEN, .grain = 0.01};
	struct estimate e = estimate_make(&input);
	assert_int_equal(e.doubts, 0);
	assert_true(e.total_high - e.total_low > 2 * 0.004 * 960);
	double rounded = e.total_high - e.total_low;
	input.stamped = true;
	e = estimate_make(&input);
	assert_true(e.total_high - e.total_low < rounded / 2);
}

static void test_words(void **state)
{
	assert_null(estimate_doubt(0));
	for (unsigned bit = ESTIMATE_FEW; bit <= ESTIMATE_NOTHING; bit <<= 1)
		assert_non_null(estimate_doubt(bit));
	assert_string_equal(estimate_doubt(ESTIMATE_TREND | ESTIMATE_PAUSES), estimate_doubt(ESTIMATE_TREND));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steady),
		cmocka_unit_test(test_whole_run_seen),
		cmocka_unit_test(test_warm_up_is_left_out),
		cmocka_unit_test(test_regular_pauses_are_counted_out),
		cmocka_unit_test(test_pauses_without_a_rule_widen_the_interval),
		cmocka_unit_test(test_partial_batch_seen),
		cmocka_unit_test(test_partial_batch_known),
		cmocka_unit_test(test_one_epoch),
		cmocka_unit_test(test_more_than_all),
		cmocka_unit_test(test_doubts),
		cmocka_unit_test(test_turns_put_together),
		cmocka_unit_test(test_no_spread_at_all),
		cmocka_unit_test(test_level_is_no_warm_up),
		cmocka_unit_test(test_pause_at_the_beginning),
		cmocka_unit_test(test_lines_by_the_clock),
		cmocka_unit_test(test_grain),
		cmocka_unit_test(test_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
