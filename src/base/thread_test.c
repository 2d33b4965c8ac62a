#include "base/clock.h"
#include "base/thread.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static bool blocked, told;

static void *tell(void *data)
{
	sigset_t now;
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	pthread_mutex_lock(&lock);
	blocked = sigismember(&now, SIGTERM) == 1 && sigismember(&now, SIGCHLD) == 1;
	told = true;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
	return data;
}

static void a_thread_gets_no_signals_and_is_waited_for(void **state)
{
	pthread_t thread;
	sigset_t before, after;
	void *result;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	thread_cond_init(&changed);
	pthread_mutex_lock(&lock);
	assert_int_equal(thread_start(&thread, NULL, tell, &lock), 0);
	while (!told)
		assert_true(thread_cond_wait(&changed, &lock, 60));
	pthread_mutex_unlock(&lock);
	pthread_join(thread, &result);
	assert_ptr_equal(result, &lock);
	assert_true(blocked);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_int_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
	pthread_cond_destroy(&changed);
}

static void a_wait_has_an_end(void **state)
{
	double begun = clock_mono();
	thread_cond_init(&changed);
	pthread_mutex_lock(&lock);
	while (thread_cond_wait(&changed, &lock, 0.01))
		;
	assert_true(clock_mono() - begun >= 0.01);
	while (thread_cond_wait(&changed, &lock, -1))
		;
	pthread_mutex_unlock(&lock);
	pthread_cond_destroy(&changed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_gets_no_signals_and_is_waited_for),
		cmocka_unit_test(a_wait_has_an_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
