// From launch to the moment before the ranks start: preflight, rendezvous, inputs, setup.
// It starts no ranks.
#ifndef AGENT_PREPARE_NODE_H
#define AGENT_PREPARE_NODE_H

#include "agent/node.h"

// Walks through what is to be done and calls on_ready when all nodes have done it. A failure is said by node_fail, and
// that is the end. A second or later attempt only meets the others again.
void prepare_node_start(struct node *node, void (*on_ready)(struct node *node));

// Stops what is going on; nothing is called any more.
void prepare_node_stop(struct node *node);

#endif
