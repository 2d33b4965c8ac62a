#include "fakes/loop.h"

#include "base/mem.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

struct loop_timer {
	void (*on_time)(void *data);
	void *data;
	double seconds; // -1: not set
};

static struct loop_timer *newest;

struct loop_timer *loop_timer_new(struct loop *loop, void (*on_time)(void *data), void *data)
{
	struct loop_timer *t = newest = mem_alloc(sizeof *t);
	*t = (struct loop_timer){on_time, data, -1};
	return t;
}

void loop_timer_set(struct loop_timer *timer, double seconds)
{
	timer->seconds = seconds;
}

void loop_timer_cancel(struct loop_timer *timer)
{
	timer->seconds = -1;
}

void loop_timer_free(struct loop_timer *timer)
{
	newest = newest == timer ? NULL : newest;
	free(timer);
}

double fake_timer_seconds(const struct loop_timer *timer)
{
	return timer->seconds;
}

void fake_timer_fire(struct loop_timer *timer)
{
	assert(timer->seconds >= 0);
	timer->seconds = -1;
	timer->on_time(timer->data);
}

struct loop_timer *fake_timer_newest(void)
{
	assert(newest);
	return newest;
}
