#include "agent/forked_task.h"
#include "base/mem.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	struct loop *loop;
	struct forked_task *child;
	struct loop_timer *timer;
	int lines, exits, status;
	int waits, unasked; // lines that came since it was asked to wait
	bool kill, late, pauses;
};

static void on_line(json_t *line, void *data)
{
	struct world *w = data;
	w->lines += (int)json_integer_value(json_object_get(line, "n"));
	w->unasked++;
	if (w->pauses && w->lines % 1000 == 0) {
		forked_task_pause(w->child, true);
		loop_timer_set(w->timer, 0.01);
		w->unasked = 0;
	}
	if (!w->kill)
		return;
	forked_task_kill(w->child);
	loop_timer_set(w->timer, 0.1);
}

static void on_exit_of(int status, void *data)
{
	struct world *w = data;
	w->exits++;
	w->status = status;
	loop_stop(w->loop);
}

static void on_time(void *data)
{
	struct world *w = data;
	if (w->pauses && w->waits++ < 100) {
		if (w->unasked > 3000)
			fail_msg("%d lines came from one that was to wait", w->unasked);
		forked_task_pause(w->child, false);
		return;
	}
	w->late = true;
	loop_stop(w->loop);
}

static void start(struct world *w, int (*work)(int out, int control, void *data))
{
	struct error err = {0};
	w->loop = loop_new(64, &err);
	w->timer = loop_timer_new(w->loop, on_time, w);
	loop_timer_set(w->timer, 20);
	struct forked_task_options options = {
		.work = work, .keep = -1, .on_line = on_line, .on_exit = on_exit_of, .data = w};
	w->child = forked_task_start(w->loop, &options, &err);
	assert_non_null(w->child);
}

static void stop(struct world *w)
{
	loop_timer_free(w->timer);
	loop_free(w->loop);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); // no zombie, no child
}

static void say(int out, const char *text)
{
	if (write(out, text, strlen(text)) < 0)
		_exit(99);
}

static int talk(int out, int control, void *data)
{
	say(out, "{\"n\": 1}\nrubbish\n[2]\n{\"n\"");
	say(out, ": 10}\n{\"n\": 100}");
	return 5;
}

static void test_lines_and_status(void **state)
{
	struct world w = {0};
	start(&w, talk);
	loop_run(w.loop);
	assert_int_equal(w.lines, 11); // a line without its end is none
	assert_int_equal(w.status, 5);
	assert_int_equal(w.exits, 1);
	stop(&w);
}

static int obey(int out, int control, void *data)
{
	say(out, "{\"n\": 1}\n");
	poll(&(struct pollfd){.fd = control, .events = POLLIN}, 1, -1);
	say(out, "{\"n\": 2}\n{\"n\": 4}\n");
	return 0;
}

static void test_asked_to_end(void **state)
{
	struct world w = {0};
	start(&w, obey);
	forked_task_end(w.child);
	loop_run(w.loop);
	assert_int_equal(w.lines, 7);
	assert_int_equal(w.status, 0);
	stop(&w);
}

enum { MANY = 20000 };

static int chatter(int out, int control, void *data)
{
	for (int i = 0; i < MANY; i++)
		say(out, "{\"n\": 1, \"and\": \"twenty bytes or more\"}\n");
	return 0;
}

static void test_lines_wait_and_none_is_lost(void **state)
{
	struct world w = {.pauses = true};
	start(&w, chatter);
	loop_run(w.loop);
	assert_false(w.late);
	assert_int_equal(w.lines, MANY);
	assert_int_equal(w.exits, 1);
	assert_true(w.waits > 5);
	stop(&w);
}

// Who killed it does not want to hear of it: the next attempt may have begun.
static void test_killed_means_silence(void **state)
{
	struct world w = {.kill = true};
	start(&w, obey);
	loop_run(w.loop);
	assert_true(w.late);
	assert_int_equal(w.lines, 1);
	assert_int_equal(w.exits, 0);
	stop(&w);
}

static int fall(int out, int control, void *data)
{
	return 3;
}

static void test_swept_up_by_somebody_else(void **state)
{
	struct world w = {0};
	start(&w, fall);
	assert_true(waitpid(-1, NULL, 0) > 0);
	loop_run(w.loop);
	assert_false(w.late);
	assert_int_equal(w.exits, 1);
	assert_int_not_equal(w.status, 0);
	stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines_and_status), cmocka_unit_test(test_asked_to_end),
		cmocka_unit_test(test_lines_wait_and_none_is_lost), cmocka_unit_test(test_killed_means_silence),
		cmocka_unit_test(test_swept_up_by_somebody_else)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
