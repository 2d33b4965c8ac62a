// Persistent clusters: where each has its run directory, and what that says of it.
// It speaks to no controller and starts none.
//
//   BASE/NAME/ID/   BASE is $MUSTER_CLUSTERS, else ${XDG_STATE_HOME:-~/.local/state}/muster/clusters (0700). ID/ is a
//   run directory; its id
//                   is the label of what the cluster consists of. The name is taken as long as BASE/NAME is there.
#ifndef RUN_CLUSTERS_H
#define RUN_CLUSTERS_H

#include "base/error.h"
#include "run/run.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

char *clusters_base(struct error *err); // owned by the caller; need not exist

bool clusters_is_name(const char *name); // may a cluster be called so?

// Takes the name and makes the run directory. NULL and err, also when there is a cluster of that name.
struct run *clusters_create(const char *name, const char *text, size_t len, const json_t *plan, struct error *err);

bool clusters_exist(const char *name); // is there a cluster of that name?

// The run directory of a cluster. NULL and err, which lists the clusters there are.
struct run *clusters_open(const char *name, struct error *err);

json_t *clusters_names(void); // an array of texts, sorted
int clusters_remove(const char *name, struct error *err);

// Whether that is the id of a cluster's run directory; *name (owned by the caller, may be NULL) is then the cluster's.
bool clusters_has_label(const char *label, char **name);

// The plan as it is now.
json_t *clusters_plan(const struct run *run, struct error *err);

// What its directory says, owned by the caller:
//   {"name", "id", "executor", "state": "starting"|"up"|"going down"|"gone", "started": when it came up, "until": when
//       the nodes of a gone
//    controller give up, "lease", "nodes": [{"node", "name", "address", "state":
//    "up"|"away"|"lost"|"missing"|"unknown"}],
//    "jobs": [{"run", "run_dir", "nodes", "begin", "end": or null, "outcome": or null}]}
json_t *clusters_status(const char *name, const struct run *run, struct error *err);
json_t *clusters_find_status(const char *name, struct error *err); // the same by the name alone

// Is the lease of a cluster over whose controller is gone?
bool clusters_is_over(const struct run *run);

#endif
