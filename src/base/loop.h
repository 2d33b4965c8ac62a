// The one event loop: descriptors to watch, timers, and the libwebsockets context that conn and http hang their
// connections on. It runs in one thread; work on other threads reports back through a descriptor that is watched.
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/error.h"

#include <stdbool.h>

struct loop;
struct loop_watch;
struct loop_timer;

// fds: how many descriptors there may be at once; 0 for as many as the process may have. NULL and err on failure.
struct loop *loop_new(unsigned fds, struct error *err);
void loop_free(struct loop *loop); // closes what is still watched, without a word to those who watch

void loop_run(struct loop *loop); // until loop_stop
void loop_stop(struct loop *loop);

enum loop_event {
	LOOP_READABLE,
	LOOP_WRITABLE, // once for each loop_watch_writable
	LOOP_CLOSED,   // the other end is gone and nothing is left to read but what a pause kept back: read it now; the
		       // watch is freed afterwards
};

// Watches fd (takes it). NULL when there is no room.
struct loop_watch *loop_watch(
	struct loop *loop, int fd, void (*on_event)(enum loop_event event, void *data), void *data);
void loop_unwatch(struct loop_watch *watch); // no more events; closes fd soon; takes NULL; may be called from on_event
void loop_watch_pause(struct loop_watch *watch, bool paused);
void loop_watch_writable(struct loop_watch *watch);
int loop_watch_fd(const struct loop_watch *watch);

struct loop_timer *loop_timer_new(struct loop *loop, void (*on_time)(void *data), void *data);
void loop_timer_set(struct loop_timer *timer, double seconds); // from now, once; replaces what was set
void loop_timer_cancel(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer); // takes NULL; may be called from on_time

// The struct lws_context behind it, for the modules that open connections.
void *loop_context(struct loop *loop);

#endif
