#include "base/fs.h"
#include "base/mem.h"
#include "controller/lifecycle.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// A run in a directory of its own, with an executor that is this test.
struct world {
	struct lifecycle c;
	struct controller_options options;
	struct executor executor;
	char dir[32];
	json_t *plan;
	struct loop_timer *tick;
	atomic_bool ticked;
	bool loop_went_on;
	const char *found; // by the executor in the end; NULL: nothing
};

static int left(struct cluster *cluster, json_t *found, struct error *err)
{
	struct world *w = cluster->say_data;
	for (int i = 0; i < 1000 && !w->ticked; i++)
		poll(NULL, 0, 10);
	w->loop_went_on = w->ticked;
	if (w->found)
		json_array_append_new(found, mem_json("{s:s}", "what", w->found));
	return 0;
}

static void on_tick(void *data)
{
	struct world *w = data;
	w->ticked = true;
}

static void start(struct world *w)
{
	struct error err = {0};
	*w = (struct world){.dir = "/tmp/lifecycle.XXXXXX", .executor = {.left = left}};
	assert_non_null(mkdtemp(w->dir));
	w->plan = mem_json("{s:[], s:[]}", "nodes", "ranks");
	w->options = (struct controller_options){
		.run = run_create(w->dir, "test", "", 0, w->plan, &err), .plan = w->plan, .executor = &w->executor};
	if (!w->options.run)
		fail_msg("%s", err.text);
	w->c = (struct lifecycle){.options = &w->options, .plan = w->plan, .run = w->options.run};
	w->c.cluster = (struct cluster){.plan = w->plan, .say_data = w};
	lifecycle_init(&w->c);
	w->c.loop = loop_new(0, &err);
	lifecycle_start_timers(&w->c);
	w->c.worker = worker_thread_new(w->c.loop, &err);
	w->tick = loop_timer_new(w->c.loop, on_tick, w);
}

static void end(struct world *w)
{
	worker_thread_free(w->c.worker);
	lifecycle_stop_timers(&w->c);
	loop_timer_free(w->tick);
	loop_free(w->c.loop);
	lifecycle_fini(&w->c);
	run_free(w->options.run);
	json_decref(w->plan);
	assert_int_equal(fs_remove(w->dir, NULL), 0);
}

static void go_down(struct world *w)
{
	w->c.state = STATE_STOPPING;
	lifecycle_set_outcome(&w->c, "ok", 0, "all was well");
	lifecycle_dispatch(&w->c, HAPPENS_GONE, NULL);
	loop_timer_set(w->tick, 0);
	loop_run(w->c.loop);
	assert_int_equal(w->c.state, STATE_DONE);
}

static void the_loop_goes_on_while_the_executor_looks(void **state)
{
	struct world w;
	start(&w);
	go_down(&w);
	assert_true(w.loop_went_on);
	assert_string_equal(w.c.outcome, "ok");
	end(&w);
}

static void what_is_left_behind_makes_a_run_fail(void **state)
{
	struct world w;
	start(&w);
	w.found = "process";
	go_down(&w);
	assert_string_equal(w.c.outcome, "failed");
	assert_int_equal(w.c.exit, ERROR_SYSTEM);
	assert_string_equal(w.c.why, "something was left behind; see the receipt");
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_loop_goes_on_while_the_executor_looks),
		cmocka_unit_test(what_is_left_behind_makes_a_run_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
