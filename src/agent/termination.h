// SIGTERM for the agent: its container, its pod or its machine is about to go. What the node does then is the agent's.
// Jobs on a persistent cluster have agents of their own below the cluster's: they are told, and waited for.
#ifndef AGENT_TERMINATION_H
#define AGENT_TERMINATION_H

#include "base/error.h"
#include "base/loop.h"

struct termination;

// From now on SIGTERM waits for termination_watch. What proc_spawn starts does not inherit this.
void termination_block(void);

// on_told: it came, for the first time. on_alone: no agent is left below this one; it comes after on_told.
struct termination *termination_watch(
	struct loop *loop, void (*on_told)(void *data), void (*on_alone)(void *data), void *data, struct error *err);
void termination_free(struct termination *t); // before loop_free; takes NULL

#endif
