// What runs have left on this machine: their processes, control groups, mounts and directories, found by the run's
// label. It knows no containers: those are the Docker Engine's.
#ifndef NODE_REMAINS_H
#define NODE_REMAINS_H

#include "base/error.h"

#include <jansson.h>

// Appends what carries the label (NULL: of every run) to found, an array, as described for left in exec/executor.h.
void remains_list(const char *label, json_t *found);

// Ends and removes it; with NULL, of every run whose controller is dead. Tries everything; err has the first failure.
int remains_remove(const char *label, struct error *err);

#endif
