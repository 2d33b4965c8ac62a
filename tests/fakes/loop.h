// The loop's timers, which only fire when a test says so. They replace the real loop at link time, together with what
// fakes/controller.c or fakes/agent.c adds to them.
#ifndef FAKES_LOOP_H
#define FAKES_LOOP_H

#include "base/loop.h"

// The timer's seconds as set, or -1 when it is not set.
double fake_timer_seconds(const struct loop_timer *timer);
void fake_timer_fire(struct loop_timer *timer); // it must be set

// The one that was made last, where a test cannot see the module's own.
struct loop_timer *fake_timer_newest(void);

#endif
