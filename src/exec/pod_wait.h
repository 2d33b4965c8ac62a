// Waits until an agent has been in every pod: opens the tunnels, says what the pods wait for, and knows when it is of
// no use to wait longer. It makes no pods.
#ifndef EXEC_POD_WAIT_H
#define EXEC_POD_WAIT_H

#include "base/error.h"
#include "exec/pod_nodes.h"

#include <stdbool.h>
#include <stddef.h>

// The caller sets the first members.
struct pod_wait {
	struct pod_nodes *nodes;
	double begun, deadline, said;
	size_t running, total;
	size_t first; // node that does not run yet
	size_t agent; // that was not there yet
	char *step;   // what it waits for
	char *last;   // said last
	bool told;
};

// Says (a pod event) what is done before there are pods.
void pod_wait_say(struct pod_wait *w, const char *step);

// 0, or -1 and err: in the words of the cluster when a pod never starts or the time is over; ERROR_CANCELLED. The time
// does not run while an image is pulled for the first time or a queue has not let the pods in, and is longer when the
// cluster gets another machine.
int pod_wait_for_nodes(struct pod_wait *w, struct error *err);

// The last word, where there was a first; frees what is in it.
void pod_wait_end(struct pod_wait *w, bool ok);

#endif
