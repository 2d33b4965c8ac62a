// Limits of a node that nobody could set from outside: on a host that the executor reaches from afar the agent makes
// the control group of its ranks. The agent is no member of it: when the ranks use up the memory, it lives to tell.
#ifndef NODE_RANK_CGROUP_H
#define NODE_RANK_CGROUP_H

#include "base/error.h"

#include <jansson.h>

// The directories of the groups that this process will make for node K of a run, given {"cpus", "memory"}: they are to
// be written down before. An empty array where tree is NULL; NULL and err when these limits cannot be set on this
// machine. Owned by the caller.
json_t *rank_cgroup_where(const json_t *tree, const char *run, struct error *err);

// Makes them. Returns the files for the ranks to enter (base/cgroup.h), owned by the caller; NULL and err when it
// cannot be done.
char *rank_cgroup_make(const json_t *tree, const char *run, size_t node, struct error *err);

// Ends what is in them and removes them.
int rank_cgroup_remove(const json_t *groups, struct error *err);

#endif
