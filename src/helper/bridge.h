// The bridge: makes sure that a node's agent runs, and carries bytes between the agent and its own standard input and
// output. It does not understand what it carries: TLS runs through it from end to end.
//
// An executor starts `muster-agent bridge` on the node by whatever brings it there (ssh, an exec in a container) and
// speaks with it in lines:
//
//   bridge    "muster-bridge config"     what stood before it (a login shell's greeting) is to be skipped
//   executor  the node's configuration, one line, as for the agent (agent/agent.h). Not needed: "url" (the bridge's
//             socket is put there),
//             "dir" (node-K below the run's directory, see node/node_dirs.h), "address" and "name" (where the executor
//                 reached this node). "again":
//             true when the agent was started before: it is not started anew. "silent": seconds without a byte from
//             the executor after which the bridge ends, as its stream was cut without a word; at least three
//             heartbeats. "direct": true when the agent is to dial "url" itself
//   bridge    "muster-bridge ready"      from here on bytes, or, when direct, the end; or
//             "muster-bridge gone WHY"   there is no agent, and there will be none
//
// The agent is a session of its own: it goes on when the bridge ends, which it does when either side ends. The next
// bridge of a node takes the socket over and ends the one before. Exit status: BRIDGE_*.
#ifndef HELPER_BRIDGE_H
#define HELPER_BRIDGE_H

enum {
	BRIDGE_CLEAN = 0,   // the agent has ended and removed its directory, or dials itself
	BRIDGE_BROKEN = 10, // the agent goes on: try again
	BRIDGE_DEAD = 11,   // there is no agent, but it left something behind
	BRIDGE_KEPT = 12,   // the agent has ended and kept its outputs
};

// The process's life; its exit status.
int bridge_main(void);

#endif
