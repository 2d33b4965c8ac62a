// Local ranks: all ranks of this node, started together, ended together.
// It does not decide when: the controller does.
#ifndef AGENT_LOCAL_RANKS_H
#define AGENT_LOCAL_RANKS_H

#include "agent/node.h"

// Starts the node's ranks. A rank that cannot be started is said by node_fail, and as an exit with status 127.
void local_ranks_start(struct node *node);

// TERM to all that run, and KILL to those that still do after grace seconds; grace 0 is KILL at once. why stands in
// their exit events. on_end is called once none runs (at once when none does).
void local_ranks_stop(struct node *node, double grace, const char *why, void (*on_end)(struct node *node));

void local_ranks_signal(struct node *node, int signal);
void local_ranks_room(struct node *node); // the uplink takes output again
void local_ranks_sample(struct node *node);
void local_ranks_free(struct node *node); // kills; takes a node without ranks

#endif
