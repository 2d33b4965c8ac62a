// What only containers can have: refused, not left out, by executors whose nodes are bare machines.
// It is no executor.
#ifndef EXEC_REQUIRE_MACHINES_H
#define EXEC_REQUIRE_MACHINES_H

#include "base/error.h"
#include "job/executor_traits.h"

#include <jansson.h>

// Does the plan ask for nothing that the executor of that name cannot do: images, builds, volumes, and, where its nodes
// do not see the controller's files, live inputs?
int require_machines(const json_t *plan, const struct executor_traits *executor, struct error *err);

// Only that no input is live.
int require_machines_no_live_inputs(const json_t *plan, const char *executor, struct error *err);

#endif
