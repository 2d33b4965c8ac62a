#include "base/mem.h"
#include "tui/status_panel.h"
#include "wire/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

// Events of one run, `ts` seconds after 1000.
static void event(struct run_progress *p, double ts, json_t *tree)
{
	autojson json_t *owned = tree;
	json_object_set_new(owned, "ts", json_real(1000 + ts));
	run_progress_event(p, owned);
}

static void phase(struct run_progress *p, double ts, const char *name, double seconds)
{
	if (seconds < 0)
		event(p, ts, event_make("phase", "s:s, s:s", "name", name, "edge", "begin"));
	else
		event(p, ts, event_make("phase", "s:s, s:s, s:f", "name", name, "edge", "end", "seconds", seconds));
}

static struct run_progress *bring_up(int nodes)
{
	struct run_progress *p = run_progress_new();
	event(p, 0,
		event_make("run", "s:s, s:s, s:s, s:i, s:i", "id", "job-1", "name", "job", "executor", "local", "nodes",
			nodes, "size", nodes));
	phase(p, 0, "bring-up", -1);
	for (int i = 0; i < nodes; i++) {
		autofree char *address = mem_printf("127.0.0.%d", i + 2);
		event(p, 1, event_make("hello", "s:i, s:s, s:s", "node", i, "name", address, "address", address));
	}
	phase(p, 2, "bring-up", 2);
	phase(p, 2, "run", -1);
	for (int i = 0; i < nodes; i++)
		event(p, 2, event_make("start", "s:i, s:i, s:i", "node", i, "rank", i, "pid", 1));
	return p;
}

static void metric(struct run_progress *p, int rank, const char *name, double value)
{
	event(p, 4,
		event_make("metric", "s:i, s:i, s:s, s:f, s:s", "node", rank, "rank", rank, "name", name, "value",
			value, "unit", "s"));
}

static void done(struct run_progress *p, double ts, int rank, int count)
{
	event(p, ts,
		event_make("progress", "s:i, s:i, s:i, s:i", "node", rank, "rank", rank, "done", count, "total", 100));
}

static void assert_drawn(const struct run_progress *p, struct status_panel panel, const char *expected)
{
	autostr struct str out = {0};
	size_t lines = status_panel_draw(&panel, p, &out), count = 0;
	for (size_t i = 0; i < out.len; i++)
		count += out.text[i] == '\n';
	assert_string_equal(out.text ? out.text : "", expected);
	assert_int_equal(lines, count);
}

static void test_running(void **state)
{
	struct run_progress *p = bring_up(2);
	event(p, 3, event_make("sample", "s:i, s:f, s:f", "node", 0, "cpu", 1.25, "memory", 3.0 * (1 << 20)));
	run_progress_output(p, 0, "one\ntwo\n", 8);
	run_progress_output(p, 1, "10 %\r20 %\r", 10);
	metric(p, 0, "loss", 1);
	metric(p, 1, "loss", 2);
	done(p, 5, 0, 10);
	done(p, 5, 1, 10);
	done(p, 10, 0, 60);
	done(p, 10, 1, 35);
	assert_drawn(p, (struct status_panel){.width = 80, .height = 20, .now = 1010},
		"-- job-1 ---------------------------------------------- 10 s, about 13 s left --\n"
		" + bring-up 2.0 s   > run 8 s\n"
		" node 0  127.0.0.2  running    1.25 cpu   3.0 MiB  two\n"
		" node 1  127.0.0.3  running                        20 %\n"
		" loss 1.5 s (1 to 2)\n"
		" #######################........................... 48 %\n");
	run_progress_free(p);
}

static void test_trouble_first(void **state)
{
	struct run_progress *p = bring_up(64);
	event(p, 3, event_make("lost", "s:i, s:s", "node", 60, "why", "no heartbeat"));
	event(p, 3,
		event_make("exit", "s:i, s:i, s:i, s:n, s:n, s:f", "node", 7, "rank", 7, "status", 3, "signal", "why",
			"seconds", 1.0));
	assert_drawn(p, (struct status_panel){.width = 60, .height = 6, .now = 1010},
		"-- job-1 ------------------------------------------- 10 s --\n"
		" + bring-up 2.0 s   > run 8 s\n"
		" node 0   running   \n"
		" node 7   failed    \n"
		" node 60  lost      \n"
		" 61 more: 61 running\n");
	event(p, 4, event_make("back", "s:i, s:f", "node", 60, "seconds", 1.0));
	assert_int_equal(p->nodes[60].state, RUN_PROGRESS_RUNNING);
	run_progress_free(p);
}

static void test_over(void **state)
{
	struct run_progress *p = bring_up(1);
	metric(p, 0, "loss", 0.25);
	phase(p, 9, "run", 7);
	event(p, 10,
		event_make("end", "s:s, s:s, s:i, s:f", "outcome", "failed", "why", "x", "exit", 1, "seconds", 10.0));
	assert_drawn(p, (struct status_panel){.width = 40, .height = 20, .now = 2000},
		"-- job-1 -------- failed after 10.0 s --\n"
		" + bring-up 2.0 s   + run 7.0 s\n"
		" loss 0.25 s\n");
	run_progress_free(p);
}

static void test_small(void **state)
{
	struct run_progress *p = bring_up(3);
	metric(p, 0, "loss", 0.25);
	for (size_t width = 0; width < 90; width++) {
		for (size_t height = 0; height < 12; height++) {
			struct status_panel panel = {
				.width = width, .height = height, .now = 1003, .colour = true, .utf8 = true};
			autostr struct str out = {0};
			assert_true(status_panel_draw(&panel, p, &out) <= height);
		}
	}
	run_progress_free(p);
}

static void test_left(void **state)
{
	struct run_progress *p = bring_up(2);
	assert_true(run_progress_share(p) < 0);
	assert_true(run_progress_left(p, 1010) < 0);
	done(p, 10, 0, 1); // the first one took eight seconds of warming up, which do not count
	assert_true(run_progress_left(p, 1010) < 0);
	done(p, 20, 0, 21);
	assert_float_equal(run_progress_left(p, 1020), 39.5, 1e-6);
	assert_float_equal(run_progress_left(p, 1030), 29.5, 1e-6);
	assert_float_equal(run_progress_share(p), 0.21, 1e-6);
	assert_float_equal(run_progress_left(p, 2000), 0, 1e-6);
	event(p, 30, event_make("retry", "s:i, s:s", "attempt", 2, "why", "lost"));
	assert_true(run_progress_share(p) < 0);
	run_progress_free(p);
}

// Numbers that the run does not have.
static void test_strangers(void **state)
{
	struct run_progress *p = bring_up(1);
	event(p, 3, event_make("hello", "s:i", "node", 1));
	event(p, 3, event_make("start", "s:i, s:i", "node", -1, "rank", 0));
	event(p, 3, event_make("metric", "s:I, s:s, s:f", "rank", (json_int_t)1 << 40, "name", "x", "value", 1.0));
	run_progress_output(p, 5, "x\n", 2);
	assert_int_equal(p->nnodes, 1);
	assert_int_equal(p->nmetrics, 0);
	run_progress_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_running),
		cmocka_unit_test(test_trouble_first),
		cmocka_unit_test(test_over),
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_left),
		cmocka_unit_test(test_strangers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
