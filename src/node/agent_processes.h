// The agents that a bridge has started here: found by their records, told to stop, waited for.
// It starts none and ends none itself.
#ifndef NODE_AGENT_PROCESSES_H
#define NODE_AGENT_PROCESSES_H

#include <stddef.h>
#include <sys/types.h>

// Those in the caller's container (its mount name space), but not the caller itself; of a bridge's agent the working
// directory is that of its node, with its record. *pids is owned by the caller; returns how many.
size_t agent_processes_find(pid_t **pids);

// The same, but only those that the caller has started, directly or not.
size_t agent_processes_find_below(pid_t **pids);

#endif
