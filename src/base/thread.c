#include "base/thread.h"

#include "base/clock.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <time.h>

int thread_start(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *data), void *data)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(thread, attr, main, data);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

void thread_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

bool thread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, double seconds)
{
	double end = clock_mono() + fmax(seconds, 0), whole = floor(end);
	struct timespec at = {.tv_sec = (time_t)whole, .tv_nsec = (long)((end - whole) * 1e9)};
	return pthread_cond_timedwait(cond, lock, &at) != ETIMEDOUT;
}
