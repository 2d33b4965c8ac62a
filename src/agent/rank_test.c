#include "agent/rank.h"
#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	struct loop *loop;
	struct rank *rank;
	struct loop_timer *timer, *limit;
	struct str output, metrics;
	size_t bytes, room;
	int status, signal, exits;
	bool late;
};

static bool on_output(const void *bytes, size_t len, void *data)
{
	struct world *w = data;
	w->bytes += len;
	if (w->output.len < 4096)
		str_add(&w->output, bytes, len < 4096 ? len : 4096);
	return !w->room || w->bytes < w->room;
}

static bool on_metric(const char *line, size_t len, void *data)
{
	struct world *w = data;
	if (w->metrics.len < 4096) {
		str_add(&w->metrics, line, len);
		str_puts(&w->metrics, ";");
	}
	return true;
}

static void on_exit_of(int status, int signal, void *data)
{
	struct world *w = data;
	w->status = status;
	w->signal = signal;
	w->exits++;
	loop_stop(w->loop);
}

static void on_limit(void *data)
{
	struct world *w = data;
	w->late = true;
	loop_stop(w->loop);
}

static void start(struct world *w, const char *command)
{
	struct error err = {0};
	w->loop = loop_new(64, &err);
	assert_non_null(w->loop);
	w->limit = loop_timer_new(w->loop, on_limit, w);
	loop_timer_set(w->limit, 20);
	autojson json_t *argv = mem_json("[s, s, s]", "/bin/sh", "-c", command), *env = json_object();
	struct rank_options options = {.argv = argv,
		.env = env,
		.metrics = true,
		.in = -1,
		.pmi = -1,
		.on_output = on_output,
		.on_metric = on_metric,
		.on_exit = on_exit_of,
		.data = w};
	w->rank = rank_start(w->loop, &options, &err);
	if (!w->rank)
		fail_msg("%s", err.text);
}

static void stop(struct world *w)
{
	rank_free(w->rank);
	loop_timer_free(w->timer);
	loop_timer_free(w->limit);
	loop_free(w->loop);
	str_fini(&w->output);
	str_fini(&w->metrics);
	assert_false(w->late);
}

static void test_output_metrics_and_status(void **state)
{
	struct world w = {0};
	start(&w, "echo out; echo err >&2; echo one >&$MUSTER_METRICS_FD; printf 'two\\nthree' >&3; exit 7");
	loop_run(w.loop);
	assert_int_equal(w.status, 7);
	assert_int_equal(w.signal, 0);
	assert_string_equal(w.output.text, "out\nerr\n");
	assert_string_equal(w.metrics.text, "one;two;");
	stop(&w);
}

static void test_signal(void **state)
{
	struct world w = {0};
	start(&w, "kill -9 $$");
	loop_run(w.loop);
	assert_int_equal(w.status, -1);
	assert_int_equal(w.signal, SIGKILL);
	stop(&w);
}

// A process that left the group and writes without end must not hold the agent.
static void test_who_escapes_cannot_hold_the_loop(void **state)
{
	struct world w = {0};
	start(&w, "setsid yes & sleep 0.1; exit 3");
	loop_run(w.loop);
	assert_int_equal(w.exits, 1);
	assert_int_equal(w.status, 3);
	stop(&w);
}

static void test_flood_of_metrics_leaves_turns_to_others(void **state)
{
	struct world w = {0};
	start(&w, "exec yes >&3");
	w.timer = loop_timer_new(w.loop, on_limit, &w);
	loop_timer_set(w.timer, 0.1);
	loop_run(w.loop);
	assert_true(w.late); // the timer had its turn
	w.late = false;
	stop(&w);
}

static void on_resume_time(void *data)
{
	struct world *w = data;
	w->room = 0;
	rank_resume(w->rank);
}

static void test_no_room_pauses_until_resumed(void **state)
{
	struct world w = {.room = 1000};
	start(&w, "head -c 3000000 /dev/zero");
	w.timer = loop_timer_new(w.loop, on_resume_time, &w);
	loop_timer_set(w.timer, 0.05);
	loop_run(w.loop);
	assert_int_equal(w.bytes, 3000000);
	assert_int_equal(w.status, 0);
	stop(&w);
}

static void on_sweep_time(void *data)
{
	struct world *w = data;
	kill(rank_pid(w->rank), SIGKILL);
	waitpid(rank_pid(w->rank), NULL, 0);
}

static void test_swept_up_by_somebody_else(void **state)
{
	struct world w = {0};
	start(&w, "sleep 100");
	w.timer = loop_timer_new(w.loop, on_sweep_time, &w);
	loop_timer_set(w.timer, 0.01);
	loop_run(w.loop);
	assert_int_equal(w.exits, 1);
	assert_int_equal(w.signal, SIGKILL);
	stop(&w);
}

static void test_freed_while_it_runs(void **state)
{
	struct world w = {0};
	start(&w, "sleep 100 & sleep 100");
	pid_t pid = rank_pid(w.rank);
	stop(&w);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(w.exits, 0);
}

static void test_no_such_program(void **state)
{
	struct error err = {0};
	struct loop *loop = loop_new(64, &err);
	autojson json_t *argv = mem_json("[s]", "/no/such/program"), *env = json_object();
	struct rank_options options = {.argv = argv,
		.env = env,
		.in = -1,
		.pmi = -1,
		.on_output = on_output,
		.on_metric = on_metric,
		.on_exit = on_exit_of};
	assert_null(rank_start(loop, &options, &err));
	assert_non_null(strstr(err.text, "/no/such/program"));
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_output_metrics_and_status),
		cmocka_unit_test(test_signal), cmocka_unit_test(test_who_escapes_cannot_hold_the_loop),
		cmocka_unit_test(test_flood_of_metrics_leaves_turns_to_others),
		cmocka_unit_test(test_no_room_pauses_until_resumed), cmocka_unit_test(test_swept_up_by_somebody_else),
		cmocka_unit_test(test_freed_while_it_runs), cmocka_unit_test(test_no_such_program)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
