// Control groups of runs: what they are called, which there are, and removing them.
// It sets no limits: base/cgroup does.
#ifndef NODE_RUN_CGROUP_H
#define NODE_RUN_CGROUP_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

// The name of a run's group that this process makes: "muster/LABEL.PID.STARTED". A dead process's group can so be told
// from a live one's, even when nothing else of the run is there. Owned by the caller.
char *run_cgroup_name(const char *label);

// Whose is the group with this last part of a name? False when it is none of a run; *label is owned by the caller.
bool run_cgroup_parse(const char *name, char **label, pid_t *pid, unsigned long long *started);

// Calls on_group for each group of any run that can be seen from here.
void run_cgroup_each(void (*on_group)(const char *path, const char *label, void *data), void *data);

// Ends what is in the run's group at path, removes it, and what held it if that was the last one. One that is not there
// is fine.
int run_cgroup_remove(const char *path, double seconds, struct error *err);

#endif
