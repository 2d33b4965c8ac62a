// The way back of what the job left: a process of its own finds the files, and they go to the controller a few hundred
// at a time, so that memory does not grow with their number. Which files: node/collect.h. It ends no rank.
//
// What cannot be brought back is said by an `output` event that is not ok, fails the run, and makes the node keep its
// output directory when it goes.
#ifndef AGENT_OUTPUTS_H
#define AGENT_OUTPUTS_H

#include "agent/node.h"
#include "base/error.h"

#include <jansson.h>
#include <stdint.h>

// Announces what the plan's outputs match and the node's own logs; on_done when the last is announced, not yet sent.
// unmatched: the patterns that match nothing here.
void outputs_bring(struct node *node, void (*on_done)(struct node *node, const json_t *unmatched));

void outputs_on_ack(struct node *node); // the controller has more of the files
void outputs_on_unreadable(struct node *node, uint32_t stream, const char *name, const char *why);

// Not everything is with the controller: the directory is to stay, and the controller is told where, or why it cannot.
void outputs_keep(struct node *node);

// Removes what is in the node's directory beside the outputs that are kept.
int outputs_clear_dir(const struct node *node, struct error *err);

void outputs_stop(struct node *node); // no more files are announced
void outputs_free(struct node *node); // after the uplink, which reads from here

#endif
