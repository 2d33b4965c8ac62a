// The team: all ranks of this node, started together, ended together.
// It does not decide when: the controller does.
#ifndef AGENT_TEAM_H
#define AGENT_TEAM_H

#include "agent/node.h"

// Starts the node's ranks. A rank that cannot be started is said by node_fail, and as an exit with status 127.
void team_start(struct node *node);

// TERM to all that run, and KILL to those that still do after grace seconds; grace 0 is KILL at once. why stands in
// their exit events. on_end is called once none runs (at once when none does).
void team_stop(struct node *node, double grace, const char *why, void (*on_end)(struct node *node));

void team_signal(struct node *node, int signal);
void team_room(struct node *node); // the uplink takes output again
void team_sample(struct node *node);
void team_free(struct node *node); // kills; takes a node without a team

#endif
