#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "predict/logfile.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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
	static const char *const forms[] = {"2024-02-28T23:59:58.%d00Z step %d/40\n",
		"2024-02-28 23:59:58,%d00 INFO step %d/40\n", "[23:59:58.%d] step %d/40\n",
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

// The program began with the first stamp, which need not be an iteration's; midnight comes once; seconds are as fine as
// it gets.
static void test_begin_and_midnight(void **state)
{
	struct reading r = reading_of(
		"23:59:50 reading\n23:59:56 step 1/9\n23:59:56 step 2/9\n00:00:00 step 4/9\n00:00:04 step 6/9\n", NULL,
		NAN);
	expect_turns(&r, 2, 4, 2);
	assert_float_equal(r.in.before, 6, 1e-6);
	assert_float_equal(r.in.done, 2, 0);
	iterations_free(r.it);
}

// Many lines a second: what is known is when the second began.
static void test_many_lines_with_the_same_stamp(void **state)
{
	autostr struct str text = {0};
	for (int i = 1; i <= 50; i++)
		str_printf(&text, "10:00:%02d step %d/90\n", (7 + i) / 10, i);
	struct reading r = reading_of(text.text, NULL, NAN);
	expect_turns(&r, 4, 1, 10);
	assert_float_equal(r.in.done, 3, 0);
	assert_float_equal(r.in.before, 1, 1e-6);
	iterations_free(r.it);
	str_printf(&text, "10:00:09 step 90/90\n");
	r = reading_of(text.text, NULL, NAN);
	assert_int_equal(r.in.count, 5);
	assert_float_equal(r.in.turns[4].count, 47, 0);
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
	struct reading r = reading_of(
		"[epoch: 1/2][iteration: 1/2] rank: 0 time: 0.5\n[epoch: 1/2][iteration: 1/2] rank: 1 time: 0.5\n"
		"[epoch: 1/2][iteration: 2/2] rank: 1 time: 0.5\n[epoch: 1/2][iteration: 2/2] rank: 0 time: 0.5\n"
		"[epoch: 2/2][iteration: 1/2] rank: 0 time: 0.5\n",
		NULL, NAN);
	expect_turns(&r, 2, 0.5, 1);
	assert_float_equal(r.in.total, 4, 0);
	assert_float_equal(r.in.epoch, 2, 0);
	iterations_free(r.it);
}

struct form {
	const char *text;
	double done, total, epoch, seconds, each; // of the last head: done; of each turn: seconds, turns
	size_t count;
};

// What known programs print, three lines of each; NAN and 0: not known.
static const struct form forms[] = {
	{"10:00:00 [0/25][0/1583]\tLoss_D: 1.2\n10:00:10 [0/25][50/1583]\tLoss_D: 1.1\n10:00:20 "
	 "[0/25][100/1583]\tLoss_D: 1.0\n",
		100, 25 * 1583, 1583, 10, 50, 2}, // PyTorch's DCGAN
	{"10:00:00 Epoch 0/3, step 4/4\r\n10:00:02 Epoch 1/3, step 4/4\r\n10:00:04 Epoch 2/3, step 4/4\r\n", 12, 12, 4,
		2, 4, 2},
	{"Epoch: [0][  10/5005]\tTime  0.250 ( 0.9)\tData 0.1\nEpoch: [0][  20/5005]\tTime  0.250 ( 0.9)\nEpoch: [1][  "
	 " 0/5005]\tTime  0.250 ( 0.9)\n",
		5005, NAN, 5005, NAN, NAN, 2}, // PyTorch's ImageNet
	{"10:00:00 Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.3\n10:00:03 Train Epoch: 1 [640/60000 (1%)]\tLoss: 1.3\n"
	 "10:00:04 Test Epoch: 1 [1/9]\n10:00:06 Train Epoch: 1 [1280/60000 (2%)]\tLoss: 1.0\n",
		1280, NAN, 60000, 3, 640, 2},
	{"2024/05/01 10:00:00 - mmengine - INFO - Epoch(train)  [1][  50/7330]  lr: 1.9e-3  eta: 1:00:00  time: 0.5\n"
	 "2024/05/01 10:00:25 - mmengine - INFO - Epoch(train)  [1][ 100/7330]  time: 0.5\n"
	 "2024/05/01 10:00:50 - mmengine - INFO - Epoch(train)  [1][ 150/7330]  time: 0.5\n",
		150, NAN, 7330, 25, 50, 2},
	{"[05/01 10:00:00 d2.utils.events]:  eta: 0:28:11  iter: 19  total_loss: 2\n[05/01 10:00:20 d2.utils.events]:  "
	 "eta: 0:28:11  iter: 39  total_loss: 2\n"
	 "[05/01 10:00:40 d2.utils.events]:  eta: 0:27:11  iter: 59  total_loss: 2\n",
		59, NAN, 0, 20, 20, 2},
	{"iter 0: loss 10.9, time 250.00ms, mfu 5%\niter 1: loss 10.1, time 250.00ms\niter 2: loss 9.9, time "
	 "250.00ms\n",
		2, NAN, 0, 0.25, 1, 2}, // nanoGPT
	{" iteration       10/     100 | consumed samples: 80 | elapsed time per iteration (ms): 350.0 | loss\n "
	 "iteration       20/     100 | elapsed time per "
	 "iteration (ms): 350.0 |\n iteration       30/     100 | elapsed time per iteration (ms): 350.0 |\n",
		30, 100, 0, 3.5, 10, 2}, // Megatron
	{"  0%|          | 0/500 [00:00<?, ?it/s]\r  2%|2         | 10/500 [00:05<04:03,  2.01it/s]\r  4%|4         | "
	 "20/500 [00:10<04:01,  2.00it/s]\r"
	 "Validation: 10%|1  | 1/10 [00:00<00:01, 9.0it/s]\r",
		20, 500, 0, 5, 10, 2}, // tqdm
	{"Epoch 0:   0%|          | 0/20 [00:00<?, ?it/s]\rEpoch 0: 100%|####| 20/20 [00:10<00:00,  2.0it/s, "
	 "loss=1]\rEpoch 1:   0%|          | 0/20 [00:00<?, "
	 "?it/s]\rEpoch 1: 100%|####| 20/20 [00:10<00:00,  2.0it/s, loss=1]\r",
		40, NAN, 20, 10, 20, 2}, // Lightning
	{"Epoch 1/2\n 50%|#####     | 10/20 [00:05<00:05,  2.0it/s]\r100%|##########| 20/20 [00:10<00:00,  "
	 "2.0it/s]\nEpoch 2/2\n"
	 " 50%|#####     | 10/20 [00:05<00:05,  2.0it/s]\r",
		30, 40, 20, 5, 10, 2},
	{"Epoch 1/2\n 25%|##        | 10/40 [00:05<00:15,  2.0it/s]\r 50%|#####     | 20/40 [00:10<00:10,  "
	 "2.0it/s]\nEpoch 2/2\n"
	 " 75%|#######   | 30/40 [00:15<00:05,  2.0it/s]\r",
		30, 40, 0, 5, 10, 2}, // the bar is of both
	{"10:00:00 start\nEpoch 1/3\n 10/469 [..............................] - ETA: 12s - loss: 2.3\r469/469 "
	 "[==============================] - 10s 20ms/step - "
	 "loss: 0.5\nEpoch 2/3\n469/469 [==============================] - 10s 20ms/step - loss: 0.4\n",
		0, 0, 0, 0, 0, 0}, // Keras 2: not all lines say when
	{"Epoch 1/3\n469/469 [==============================] - 10s 20ms/step - loss: 0.5\nEpoch 2/3\n469/469 "
	 "[==============================] - 10s 20ms/step"
	 " - loss: 0.4\nEpoch 3/3\n469/469 [==============================] - 10s 20ms/step - loss: 0.3\n",
		1407, 1407, 469, 9.38, 469, 2},
	{"Epoch 1/3\n\033[1m469/469\033[0m \033[32m\xe2\x94\x81\xe2\x94\x81\033[0m\033[37m\033[0m \033[1m9s\033[0m "
	 "20ms/step - loss: 0.5\nEpoch 2/3\n"
	 "\033[1m469/469\033[0m \033[32m\xe2\x94\x81\xe2\x94\x81\033[0m\033[37m\033[0m \033[1m9s\033[0m 20ms/step - "
	 "loss: 0.4\n",
		938, 1407, 469, 9.38, 469, 1}, // Keras 3
};

static void expect_form(const struct form *f)
{
	struct reading r = reading_of(f->text, NULL, NAN);
	if ((r.rc == 0) != (f->count > 0) || r.in.count != f->count)
		fail_msg("%s: %zu turns, not %zu: %s", f->text, r.in.count, f->count, r.rc ? r.err.text : "");
	double done = r.in.done;
	for (size_t k = 0; k < r.in.count; k++) {
		done += r.in.turns[k].count;
		if (!isnan(f->each) && (r.in.turns[k].count != f->each ||
					       (!isnan(f->seconds) && fabs(r.in.turns[k].seconds - f->seconds) > 1e-6)))
			fail_msg("%s: %g turns in %g s", f->text, r.in.turns[k].count, r.in.turns[k].seconds);
	}
	if (f->count && (done != f->done || r.in.epoch != f->epoch ||
				(isnan(f->total) ? !isnan(r.in.total) : r.in.total != f->total)))
		fail_msg("%s: %g of %g, %g an epoch", f->text, done, r.in.total, r.in.epoch);
	iterations_free(r.it);
}

static void test_known_programs(void **state)
{
	for (size_t i = 0; i < countof(forms); i++)
		expect_form(&forms[i]);
}

// Which of the loops that a log shows counts: the longer one that comes after another is over, none that lies within
// it, no download.
static void test_other_loops(void **state)
{
	static const struct form cases[] = {
		{"10:00:00 step 1/3 of setup\n10:00:01 step 2/3 of setup\n10:00:02 step 3/3 of setup\n10:00:20 step "
		 "1/900\n10:00:22 step 2/900\n10:00:24 step "
		 "3/900\n",
			3, 900, 0, 2, 1, 2},
		{"10:00:00 step 10/900\n10:00:02 step 20/900\n10:00:03 batch 3/9\n10:00:04 batch 9/9\n10:00:06 step "
		 "30/900\n10:00:07 batch 3/9\n",
			30, 900, 0, NAN, 10, 2},
		{"10:00:00 [0] step 99/100\n10:00:01 [0] step 100/100\n10:00:02 [1] step 100/101\n10:00:03 [1] step "
		 "101/101\n",
			101, 101, 0, NAN, 1, 2}, // ranks
		{"  0%|  | 0/9912422 [00:00<?, ?it/s]\r 53%|# | 5242880/9912422 [00:02<00:02, 2.6e6it/s]\r100%|##| "
		 "9912422/9912422 [00:04<00:00, 2.5e6it/s]\n"
		 "  0%|  | 0/4542 [00:00<?, ?it/s]\r100%|##| 4542/4542 [00:00<00:00, 9.1e6it/s]\n"
		 " 25%|# | 512/2048 [00:10<00:30, 51.2it/s]\r 50%|# | 1024/2048 [00:20<00:20, 51.2it/s]\r",
			1024, 2048, 0, 10, 512, 1},
		{"    8192/11490434 [....................] - ETA: 0s\r11490434/11490434 [====================] - 1s "
		 "0us/step\nEpoch 1/3\n"
		 "1875/1875 [====================] - 10s 20ms/step\nEpoch 2/3\n1875/1875 [====================] - 10s "
		 "20ms/step\n",
			3750, 5625, 1875, 37.5, 1875, 1},
	};
	for (size_t i = 0; i < countof(cases); i++)
		expect_form(&cases[i]);
}

// How exact times are is in their digits.
static void test_grain(void **state)
{
	static const struct {
		const char *text;
		double grain;
		bool stamped;
	} cases[] = {
		{"10:00:00 step 1/9\n10:00:01 step 2/9\n", 1, true},
		{"10:00:00,250 step 1/9\n10:00:01,500 step 2/9\n", 0.001, true},
		{"step 1/9 time: 0.25\nstep 2/9 time: 0.3\n", 0.01, false},
		{"step 1/9 time: 250.0 ms\nstep 2/9 time: 250.0 ms\n", 1e-4, false},
		{"step 1/9 4.0 it/s\nstep 2/9 4.0 it/s\n", 0, false},
		{" 10%|# | 1/9 [00:01<00:09, 1.0it/s]\n 20%|# | 2/9 [00:02<00:08, 1.0it/s]\n", 1, true},
	};
	for (size_t i = 0; i < countof(cases); i++) {
		struct reading r = reading_of(cases[i].text, NULL, NAN);
		assert_int_equal(r.rc, 0);
		assert_float_equal(r.found.grain, cases[i].grain, 1e-9);
		assert_int_equal(r.found.stamped, cases[i].stamped);
		iterations_free(r.it);
	}
}

static void test_errors(void **state)
{
	static const char *const cases[][3] = {
		{"", NULL, "none of its 0 lines reports an iteration; describe such lines with --pattern"},
		{"hello\nloss 7 at last\n", NULL, "none of its 2 lines reports an iteration, such as 'loss 7 at last'"},
		{"loss \033[31m7\033[0m\n", NULL, "such as 'loss  [31m7 [0m'"},
		{"step 1/9\nstep 2/9\n", NULL, "have neither a time stamp nor the time of an iteration"},
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
		cmocka_unit_test(test_many_lines_with_the_same_stamp),
		cmocka_unit_test(test_what_the_lines_say_it_took),
		cmocka_unit_test(test_own_pattern),
		cmocka_unit_test(test_ranks_in_one_log),
		cmocka_unit_test(test_known_programs),
		cmocka_unit_test(test_other_loops),
		cmocka_unit_test(test_grain),
		cmocka_unit_test(test_errors),
	};
	return cmocka_run_group_tests(tests, NULL, tear_down);
}
