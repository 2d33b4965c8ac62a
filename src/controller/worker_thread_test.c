#include "controller/worker_thread.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct world {
	struct loop *loop;
	struct worker_thread *worker;
	pthread_t here;
	atomic_int calls;
	bool elsewhere, again;
	int answers, result;
	char why[100];
};

static int work(void *data, struct error *err)
{
	struct world *w = data;
	w->calls++;
	w->elsewhere = !pthread_equal(w->here, pthread_self());
	return error_set(err, ERROR_SYSTEM, "it was in vain");
}

static void on_done(int result, const struct error *err, void *data)
{
	struct world *w = data;
	w->answers++;
	w->result = result;
	strcpy(w->why, err->text);
	assert_false(worker_thread_is_busy(w->worker));
	if (w->again) {
		w->again = false;
		worker_thread_start(w->worker, work, on_done, w);
		assert_true(worker_thread_is_busy(w->worker));
	} else
		loop_stop(w->loop);
}

static void on_done_otherwise(int result, const struct error *err, void *data)
{
	struct world *w = data;
	w->answers = 100;
	loop_stop(w->loop);
}

static struct world start(void)
{
	struct world w = {.here = pthread_self()};
	w.loop = loop_new(0, NULL);
	assert_non_null(w.loop);
	w.worker = worker_thread_new(w.loop, NULL);
	return w;
}

static void end(struct world *w)
{
	worker_thread_free(w->worker);
	loop_free(w->loop);
}

// A stack that no address space holds: no thread can be had.
static void set_stack(size_t size)
{
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	assert_int_equal(pthread_attr_setstacksize(&attr, size), 0);
	assert_int_equal(pthread_setattr_default_np(&attr), 0);
	pthread_attr_destroy(&attr);
}

static void run(struct world *w)
{
	w->again = true;
	worker_thread_start(w->worker, work, on_done, w);
	assert_true(worker_thread_is_busy(w->worker));
	assert_int_equal(w->answers, 0);
	loop_run(w->loop);
	assert_int_equal(w->calls, 2);
	assert_int_equal(w->answers, 2);
	assert_int_equal(w->result, -1);
	assert_string_equal(w->why, "it was in vain");
}

static void work_is_done_on_a_thread(void **state)
{
	struct world w = start();
	run(&w);
	assert_true(w.elsewhere);
	end(&w);
}

static void without_a_thread_the_loop_calls_back_later(void **state)
{
	struct world w = start();
	set_stack((size_t)1 << 47);
	run(&w);
	assert_false(w.elsewhere);
	worker_thread_start(w.worker, work, on_done, &w);
	worker_thread_then(w.worker, on_done_otherwise);
	loop_run(w.loop);
	assert_int_equal(w.answers, 100);
	worker_thread_start(w.worker, work, on_done, &w);
	set_stack((size_t)1 << 20);
	end(&w); // what was never begun is not waited for
	assert_int_equal(w.calls, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_is_done_on_a_thread),
		cmocka_unit_test(without_a_thread_the_loop_calls_back_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
