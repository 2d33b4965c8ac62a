// The raw overlay of pods, `cluster.kubernetes.pod`: what it may say, and how it is merged into a pod template.
// It makes no pod: kube/manifest.h does.
//
// It is merged as a JSON merge patch (RFC 7386): maps are merged, null removes a key, everything else replaces what is
// there. Lists are replaced too, except those whose entries have a name: there an entry is merged into the one of the
// same name, or comes last (containers, initContainers, volumes, env and imagePullSecrets by `name`, volumeMounts by
// `mountPath`).
#ifndef JOB_POD_OVERLAY_H
#define JOB_POD_OVERLAY_H

#include "base/error.h"
#include "job/yaml.h"

#include <jansson.h>
#include <stdbool.h>

#define POD_OVERLAY_CONTAINER "node"  // the container that is the node
#define POD_OVERLAY_HOME "/.muster"   // paths that begin so are muster's in it
#define POD_OVERLAY_RESERVED "muster" // names of volumes and init containers that begin so are muster's own

// Is it a map of `metadata` and `spec` that leaves everything there that a run needs? path is its place in the file. -1
// and err (ERROR_USAGE, with the position).
int pod_overlay_check(const struct yaml *overlay, const char *path, struct error *err);

// Is this key of labels or annotations muster's own, or one that a key of the job file sets?
bool pod_overlay_is_reserved(const char *label);

// Is this path muster's own?
bool pod_overlay_is_home(const char *path);

// The overlay as JSON, owned by the caller; labels and annotations are texts.
json_t *pod_overlay_json(const struct yaml *overlay);

// Merges the overlay, as JSON, into a pod template (an object, changed).
void pod_overlay_merge(json_t *template, const json_t *overlay);

#endif
