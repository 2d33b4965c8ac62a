// The setup steps of a node, one after the other, before its ranks start.
// What a step that needs root does is done by a process of its own, and so is that of an image: helper/setup_step.h.
#ifndef AGENT_SETUP_H
#define AGENT_SETUP_H

#include "agent/node.h"

// Does the steps of the plan and calls on_done when all nodes have done theirs; at once in a second or later attempt. A
// failure is said by node_fail, and that is the end.
void setup_start(struct node *node, void (*on_done)(struct node *node));

// Ends the step that is going on; nothing is called any more.
void setup_stop(struct node *node);

// Ends what steps with root's rights left running, too, and waits for it.
void setup_free(struct node *node);

// Takes back what was mounted; for when nothing of the run is left running here.
int setup_undo(const struct node *node, struct error *err);

// For processes that were killed and do not end: they may wait for the server of something mounted. False when nothing
// is.
bool setup_unblock(const struct node *node);

#endif
