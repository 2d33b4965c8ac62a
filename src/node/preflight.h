// Preflight: can this node reach every other by name and port, how fast, and how far is its clock off? Every node asks
// and answers at the same time. It blocks, so agent/rendezvous runs it in a child process. It judges nothing:
// preflight_verdict does.
#ifndef NODE_PREFLIGHT_H
#define NODE_PREFLIGHT_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct preflight_peer {
	size_t node;
	const char *name;    // what programs will call it; this is what is resolved and connected to
	const char *address; // what it says its address is: preferred when the name has several
	int port;            // where its preflight listens
	double within;       // seconds it has to answer, fewer than the deadline; 0: as many
};

struct preflight_options {
	size_t node;  // this one
	int listener; // listening TCP socket; its backlog should have room for every node
	const struct preflight_peer
		*peers; // this node among them is passed over; a node may be there several times, by other addresses
	size_t npeers;
	const char *nonce; // the same for all nodes of a run and nobody else; it does not travel itself
	const char *dir;   // where the free disk is looked up
	bool bandwidth;    // also measure it, to one peer after the other; asks more of the network than a check should
	double deadline;   // seconds until a peer that has not answered counts as unreachable
	double patience;   // seconds more that a node which has answered at one address is waited for at the others; 0:
			   // as long as the deadline says
	int control;       // answering ends when this descriptor is readable or closed
	int out;           // one `preflight` event, as a line, is written here as soon as all peers are known
};

// Returns when control says so. -1 and err only when it could not do its work at all; unreachable peers are rows.
int preflight_run(const struct preflight_options *options, struct error *err);

#endif
