// A thread for what blocks: the members of an executor, one at a time; the loop hears when one has returned.
// It knows nothing of what they do.
#ifndef CONTROLLER_WORKER_H
#define CONTROLLER_WORKER_H

#include "base/error.h"
#include "base/loop.h"
#include "exec/executor.h"

#include <stdbool.h>

struct worker;
typedef void worker_done(int result, const struct error *err, void *data);

struct worker *worker_new(struct loop *loop, struct error *err);
void worker_free(struct worker *worker); // waits for what is going on; takes NULL; before loop_free

// Calls work(cluster) on the thread, then on_done in the loop. Only when it is not busy.
void worker_start(struct worker *worker, int (*work)(struct cluster *c, struct error *err), struct cluster *cluster,
	worker_done *on_done, void *data);
bool worker_is_busy(const struct worker *worker);
void worker_then(struct worker *worker, worker_done *on_done); // another call-back for what is going on

#endif
