// What a run is about to make where nobody else would look for it: written down before, struck out when it is gone.
// It reaches no host.
//
// ${XDG_STATE_HOME:-~/.local/state}/muster/EXECUTOR/LABEL.json (0600):
//   {"label", "run_dir", "controller": {"pid", "started"}} and, of ssh:
//    "agent": "hex SHA-256", "at_once", "hosts": [as in the plan],
//    "silent": {"pid", "started", "hosts": [...]}}    those that this process could not ask, when last it tried to
//        clean them
//   of kubernetes: "context", "namespace", "url" of the API server
#ifndef EXEC_INTENT_LOG_H
#define EXEC_INTENT_LOG_H

#include "base/error.h"

#include <jansson.h>

int intent_log_save(const char *executor, const json_t *intent, struct error *err); // "label" is its name

// Those of a run (label) or of all runs (NULL): an array, owned by the caller.
json_t *intent_log_find(const char *executor, const char *label);

void intent_log_remove(const char *executor, const char *label); // it may not be there

#endif
