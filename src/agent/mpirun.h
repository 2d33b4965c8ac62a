// Open MPI's own launcher at work for muster: mpirun on node 0, its daemons on the others, and no ssh between them.
// It starts no ranks: where mpirun and its daemons would, they start shims (helper/openmpi_shim.h), and local_ranks
// starts the rank itself, as in every other mode, with what Open MPI has put into the shim's environment.
//
// Shims speak to the agent of their node through a socket in its directory, one JSON object a line: {"rank", "env"} or
// {"host", "command"}, answered by {"status"} when it has ended, or by {"error"}. Commands for other hosts travel in
// fences "spawn-A-I" (A: the attempt), which only node 0 fills: {"K": command for node K}. So a line that breaks and
// comes back changes nothing.
#ifndef AGENT_MPIRUN_H
#define AGENT_MPIRUN_H

#include "agent/node.h"

struct mpirun;

// Starts what there is to start on this node. start is called once for each rank of this node that is to start: env
// (borrowed) is an object of texts; -1 and err refuses it. What goes wrong is said by node_fail. NULL and err when it
// cannot begin.
struct mpirun *mpirun_start(struct node *node,
	int (*start)(struct node *node, size_t rank, const json_t *env, struct error *err), struct error *err);

void mpirun_ended(struct mpirun *mpirun, size_t rank, int status); // a rank has ended; status as a shell says it
// The ranks are to end: starts none and finds nothing wrong any more. mpirun itself stays as long as they may still
// want to talk. Takes NULL.
void mpirun_stop(struct mpirun *mpirun);
void mpirun_free(struct mpirun *mpirun); // kills all of it but ranks; takes NULL

#endif
