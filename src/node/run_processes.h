// Ends every process of this machine that carries a given word in its environment.
// It removes no files and no control groups.
#ifndef NODE_RUN_PROCESSES_H
#define NODE_RUN_PROCESSES_H

#include "base/error.h"

#include <jansson.h>
#include <sys/types.h>

// The processes that carry word ("MUSTER_RUN=ID"), those in roots (an array of {"pid", "started"}, may be NULL) that
// live, and all their descendants; never the caller. *pids is owned by the caller; returns how many.
size_t run_processes_find(const char *word, const json_t *roots, pid_t **pids);

// Stops and then kills all of them until none is found. seconds bounds the whole; err names a process that would not
// go.
int run_processes_kill(const char *word, const json_t *roots, double seconds, struct error *err);

// The name of a process for people ("python3"); "?" when it is gone. Owned by the caller.
char *run_processes_name(pid_t pid);

#endif
