// What Open MPI's mpirun starts in muster's place: `muster-agent rsh HOST WORD...` where it would start ssh,
// `muster-agent rank` where it would start a rank. It only asks the agent of its node, which does both (see
// agent/mpirun.h), and ends as what it asked for has ended.
#ifndef HELPER_OPENMPI_SHIM_H
#define HELPER_OPENMPI_SHIM_H

#include "base/error.h"

#define OPENMPI_SHIM_SOCKET "MUSTER_AGENT_SOCKET" // in the environment of what is started: where the agent listens

// The environment says where the agent listens. Returns the exit status; -1 and err when the agent cannot be asked or
// refuses.
int openmpi_shim_rsh(
	int argc, char **argv, struct error *err); // argv: the host and the words of a command for a shell there
int openmpi_shim_rank(struct error *err);

#endif
