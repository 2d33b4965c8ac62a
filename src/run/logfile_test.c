#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "run/logfile.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char file[] = "logfile-test.log";

static int tear_down(void **state)
{
	unlink(file);
	return 0;
}

struct reading {
	struct iterations *it;
	struct logfile found;
	struct estimate_input in;
	struct error err;
	int rc;
};

static struct reading reading_of(const char *text, const char *pattern, double total)
{
	struct reading r = {.it = iterations_new()};
	assert_int_equal(fs_write(file, text, strlen(text), 0600, &r.err), 0);
	r.rc = logfile_read(file, pattern, total, r.it, &r.found, &r.err);
	iterations_input(r.it, 0, &r.in);
	return r;
}

static void expect_turns(const struct reading *r, size_t count, double seconds, double each)
{
	assert_int_equal(r->rc, 0);
	assert_int_equal(r->in.count, count);
	for (size_t i = 0; i < count; i++) {
		assert_float_equal(r->in.turns[i].seconds, seconds, 1e-6);
		assert_float_equal(r->in.turns[i].count, each, 0);
	}
}

static void test_stamps(void **state)
{
	static const char *const forms[] = {"2024-02-28T23:59:58.%d00Z step %d/40\n", "2024-02-28 23:59:58,%d00 INFO step %d/40\n", "[23:59:58.%d] step %d/40\n",
		"1709164798.%d step %d/40\n", "[  58.%d s] step %d/40\n"};
	for (size_t f = 0; f < countof(forms); f++) {
		autostr struct str text = {0};
		for (int i = 1; i <= 4; i++) {
			// NOLINTNEXTLINE: the forms are ours
			autofree char *line = mem_printf(forms[f], 2 * i, i);
			str_puts(&text, line);
		}
		struct reading r = reading_of(text.text, NULL, NAN);
		expect_turns(&r, 3, 0.2, 1);
		assert_string_equal(r.found.clock, "time stamps");
		assert_int_equal(r.found.heads, 4);
		assert_float_equal(r.in.total, 40, 0);
		assert_float_equal(r.in.before, 0, 1e-6);
		iterations_free(r.it);
	}
}

// The program began with the first stamp, which need not be an iteration's; midnight comes once; seconds are as fine as it gets.
static void test_begin_and_midnight(void **state)
{
	struct reading r = reading_of("23:59:50 reading\n23:59:56 step 1/9\n23:59:56 step 2/9\n00:00:00 step 4/9\n00:00:04 step 6/9\n", NULL, NAN);
	expect_turns(&r, 2, 4, 2);
	assert_float_equal(r.in.before, 6, 1e-6);
	assert_float_equal(r.in.done, 2, 0);
	iterations_free(r.it);
}

static void test_what_the_lines_say_it_took(void **state)
{
	struct reading r = reading_of("step 1/9 time: 0.25\rstep 2/9 time: 0.25\rstep 3/9 time: 0.25\n", NULL, NAN);
	expect_turns(&r, 2, 0.25, 1);
	assert_string_equal(r.found.clock, "durations");
	iterations_free(r.it);
	r = reading_of("step 10/90 4.0 it/s\nstep 20/90 4.0 it/s\nstep 30/90 4.0 it/s\n", NULL, NAN);
	expect_turns(&r, 2, 2.5, 10);
	iterations_free(r.it);
	r = reading_of("step 1/9 iter_time=250 ms\nstep 2/9 iter_time=250 ms\n", NULL, NAN);
	expect_turns(&r, 1, 0.25, 1);
	iterations_free(r.it);
	r = reading_of("step 1/9, elapsed: 5.5\nstep 2/9, elapsed: 11.5\nstep 3/9, elapsed: 17.5\n", NULL, NAN);
	expect_turns(&r, 2, 6, 1);
	assert_string_equal(r.found.clock, "elapsed times");
	assert_float_equal(r.in.before, 5.5, 1e-6);
	iterations_free(r.it);
}

static void test_own_pattern(void **state)
{
	struct reading r = reading_of("b1 x 0.5\nb2 x 0.5\nb3 x 0.5\n", "b(\\d+) x (?<seconds>\\S+)", 12);
	expect_turns(&r, 2, 0.5, 1);
	assert_float_equal(r.in.total, 12, 0);
	iterations_free(r.it);
	r = reading_of("at 10.0 b1\nat 10.5 b2\n", "at (?<at>\\S+) b(?<done>\\d+)", NAN);
	expect_turns(&r, 1, 0.5, 1);
	assert_true(isnan(r.in.total));
	iterations_free(r.it);
}

// Lines of other ranks say the same once more.
static void test_ranks_in_one_log(void **state)
{
	struct reading r = reading_of("[epoch: 1/2][iteration: 1/2] rank: 0 time: 0.5\n[epoch: 1/2][iteration: 1/2] rank: 1 time: 0.5\n"
				      "[epoch: 1/2][iteration: 2/2] rank: 1 time: 0.5\n[epoch: 1/2][iteration: 2/2] rank: 0 time: 0.5\n"
				      "[epoch: 2/2][iteration: 1/2] rank: 0 time: 0.5\n",
		NULL, NAN);
	expect_turns(&r, 2, 0.5, 1);
	assert_float_equal(r.in.total, 4, 0);
	assert_float_equal(r.in.epoch, 2, 0);
	iterations_free(r.it);
}

static void test_errors(void **state)
{
	static const char *const cases[][3] = {
		{"", NULL, "none of its 0 lines is one of an iteration; say with --pattern"},
		{"hello\nloss 7 at last\n", NULL, "none of its 2 lines is one of an iteration, such as 'loss 7 at last'"},
		{"step 1/9\nstep 2/9\n", NULL, "have neither a time stamp nor say what an iteration took"},
		{"x", "(", "pattern '(' at character 2: "},
		{"x", "x", "has no group, expected one around the number of the iteration"},
	};
	for (size_t i = 0; i < countof(cases); i++) {
		struct reading r = reading_of(cases[i][0], cases[i][1], NAN);
		assert_int_equal(r.rc, -1);
		if (!strstr(r.err.text, cases[i][2]))
			fail_msg("'%s' does not say '%s'", r.err.text, cases[i][2]);
		iterations_free(r.it);
	}
	struct iterations *it = iterations_new();
	struct logfile found;
	struct error err = {0};
	assert_int_equal(logfile_read("/nonexistent/log", NULL, NAN, it, &found, &err), -1);
	assert_non_null(strstr(err.text, "cannot open /nonexistent/log"));
	iterations_free(it);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stamps),
		cmocka_unit_test(test_begin_and_midnight),
		cmocka_unit_test(test_what_the_lines_say_it_took),
		cmocka_unit_test(test_own_pattern),
		cmocka_unit_test(test_ranks_in_one_log),
		cmocka_unit_test(test_errors),
	};
	return cmocka_run_group_tests(tests, NULL, tear_down);
}
