// What only containers can have: refused, not left out, by executors whose nodes are bare machines.
// It is no executor.
#ifndef EXEC_REQUIRE_MACHINES_H
#define EXEC_REQUIRE_MACHINES_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

// Does the plan ask for nothing that the executor of that name cannot do: images, builds, volumes, and, where its nodes
// do not see the controller's files, live inputs?
int require_machines(const json_t *plan, const char *executor, bool same_files, struct error *err);

#endif
