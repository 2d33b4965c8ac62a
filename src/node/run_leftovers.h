// What runs have left on this machine: their processes, control groups, mounts and directories, found by the run's
// label. It knows no containers: those are the Docker Engine's.
#ifndef NODE_RUN_LEFTOVERS_H
#define NODE_RUN_LEFTOVERS_H

#include "base/error.h"

#include <jansson.h>

// Appends what carries the label (NULL: of every run) to found, an array, as described for left in exec/executor.h.
void run_leftovers_list(const char *label, json_t *found);

// Ends and removes it; with NULL, of every run whose controller is dead. Tries everything; err has the first failure.
int run_leftovers_remove(const char *label, struct error *err);

// The same, but outputs that are kept (node/node_dirs.h) stay: for the end of the run that they are of.
int run_leftovers_remove_but_kept(const char *label, struct error *err);

#endif
