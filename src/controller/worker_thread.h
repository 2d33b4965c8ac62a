// A thread for what blocks: the members of an executor, one at a time; the loop hears when one has returned.
// It knows nothing of what they do.
#ifndef CONTROLLER_WORKER_THREAD_H
#define CONTROLLER_WORKER_THREAD_H

#include "base/error.h"
#include "base/loop.h"
#include "exec/executor.h"

#include <stdbool.h>

struct worker_thread;
typedef void worker_thread_done(int result, const struct error *err, void *data);

struct worker_thread *worker_thread_new(struct loop *loop, struct error *err);
void worker_thread_free(struct worker_thread *worker); // waits for what is going on; takes NULL; before loop_free

// Calls work(cluster) on the thread, then on_done in the loop. Only when it is not busy.
void worker_thread_start(struct worker_thread *worker, int (*work)(struct cluster *c, struct error *err),
	struct cluster *cluster, worker_thread_done *on_done, void *data);
bool worker_thread_is_busy(const struct worker_thread *worker);
void worker_thread_then(
	struct worker_thread *worker, worker_thread_done *on_done); // another call-back for what is going on

#endif
