// A thread for what blocks, one call at a time; the loop is told when it has returned.
// It knows nothing of what is called.
#ifndef CONTROLLER_WORKER_THREAD_H
#define CONTROLLER_WORKER_THREAD_H

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>

struct worker_thread;
typedef int worker_thread_work(void *data, struct error *err);
typedef void worker_thread_done(int result, const struct error *err, void *data);

struct worker_thread *worker_thread_new(struct loop *loop, struct error *err);
void worker_thread_free(struct worker_thread *worker); // waits for what is going on; takes NULL; before loop_free

// Calls work on the thread, then on_done in the loop, both with data. Only when it is not busy. Never calls back before
// it returns: where no thread can be had, the loop itself calls work, later.
void worker_thread_start(
	struct worker_thread *worker, worker_thread_work *work, worker_thread_done *on_done, void *data);
bool worker_thread_is_busy(const struct worker_thread *worker);
void worker_thread_then(
	struct worker_thread *worker, worker_thread_done *on_done); // another call-back for what is going on

#endif
