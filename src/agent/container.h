// The container that a node's ranks run in, where the job wants one: made before they start, gone before their files
// are looked at. It starts no rank: what stands for one here enters the container by itself (helper/container_enter.h).
#ifndef AGENT_CONTAINER_H
#define AGENT_CONTAINER_H

#include "agent/node.h"

// Makes it and calls on_ready; at once where the job wants none. A failure is said by node_fail; so is its end, when
// nobody asked for it.
void container_start(struct node *node, void (*on_ready)(struct node *node));

// Removes it with all that runs in it, and calls on_gone when that is done; at once where there is none.
void container_stop(struct node *node, void (*on_gone)(struct node *node));

// The same without a loop; blocks. For the agent's own end.
void container_free(struct node *node);

// What runs a rank in it instead of argv: an argv, owned by the caller, and in *in its standard input, likewise. NULL
// and err when that cannot be.
json_t *container_enter(const struct node *node, const json_t *argv, const json_t *env, int *in, struct error *err);

// The process of a rank in it, as this machine calls it; 0 when it is not there (yet).
pid_t container_find(const struct node *node, size_t rank);

#endif
