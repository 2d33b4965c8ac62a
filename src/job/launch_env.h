// The environment by which ranks find each other, one function for each launch mode.
// It knows no command and no address: what only a live node can fill stays a placeholder.
#ifndef JOB_LAUNCH_ENV_H
#define JOB_LAUNCH_ENV_H

#include "base/error.h"
#include "job/job.h"

#include <jansson.h>
#include <stddef.h>

struct launch_role {
	const char *name;
	size_t first, nodes; // its nodes are consecutive
	size_t ranks;        // ranks of a role are consecutive, too
};

struct launch {
	enum job_launch mode;
	size_t nodes, procs, size; // procs: ranks per node
	const struct launch_role *roles;
	size_t nroles;
};

// Does the mode go with these roles? -1 and err (expected ..., without a place) when it does not.
int launch_env_check(const struct launch *launch, struct error *err);

// The environment of one rank, an object of texts owned by the caller. role is that of its node.
json_t *launch_env(const struct launch *launch, const struct launch_role *role, size_t rank);

// About how many bytes launch_env is.
size_t launch_env_bytes(const struct launch *launch);

#endif
