// How nodes meet before anything is started: each checks that it reaches every other (preflight), at other addresses
// where the first ones do not do, and all exchange ports and machines (rendezvous). It fetches no inputs and starts no
// ranks.
#ifndef AGENT_RENDEZVOUS_H
#define AGENT_RENDEZVOUS_H

#include "agent/node.h"

// Calls on_met when all have met: node's peers, ports and machines are then what holds. With preflight_only the
// bandwidth of each pair has been measured, too. A failure is said by node_fail, and that is the end. A second or later
// attempt checks nothing again.
void rendezvous_start(struct node *node, void (*on_met)(struct node *node));

// Takes the list of nodes (shared) that the controller sent. An address that the preflight has settled on stays.
void rendezvous_set_peers(struct node *node, json_t *peers);

void rendezvous_release(struct node *node); // gives up the ports that are kept for the ranks, which are about to start
void rendezvous_stop(struct node *node);    // nothing is called any more

#endif
