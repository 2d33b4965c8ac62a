// The plan as Jobs: which objects an up makes, whole, from the plan alone; and what they say of nodes, read back. Pure:
// it asks nobody.
// It does not post them: the executor does (exec/kubernetes.c).
#ifndef KUBE_MANIFEST_H
#define KUBE_MANIFEST_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define MANIFEST_CONTAINER "node"     // the container of a pod that is the node
#define MANIFEST_RUN "muster.run"     // the label with the run's id, on Jobs and pods
#define MANIFEST_ROLE "muster.role"   // another, with the role (shortened where a label is too short for it)
#define MANIFEST_NODES "muster.nodes" // the annotation, on Jobs and pods: the node of each index, "0-2,5"

struct manifest {
	const json_t *plan;
	const char *label;         // the run's id
	const json_t *agent;       // as agent_parts_pod gives it
	const char *agent_label;   // the key of the agent's parts; NULL: an image brings the agent
	const json_t *annotations; // of the Jobs, besides: an object of texts; may be NULL
	bool run_as_non_root;      // the namespace wants that
};

// The Jobs for these nodes (an array of numbers that grow), one for each of their roles: an array, owned by the caller.
// before: how many Jobs this run has made so far, so that no name is there twice; their count is added. NULL and err
// when the plan cannot be put into pods.
json_t *manifest_make(const struct manifest *m, const json_t *nodes, size_t *before, struct error *err);

// The name of the Job: "muster-RUN-ROLE", or a shorter one with a hash where that is too long for the names of its pods
// or the run has made Jobs before. Different runs, roles and numbers have different names. Owned by the caller.
char *manifest_name(const char *run, const char *role, size_t before);

// An entry of metadata.ownerReferences: this Job, as the API server has answered it. Owned by the caller; NULL when it
// has no uid.
json_t *manifest_owner(const json_t *job);

// The node of each index of a Job, from its annotation: an array of numbers, owned by the caller. NULL when there is
// none or it is damaged.
json_t *manifest_nodes(const json_t *object);

// The node of a pod that one of these Jobs has made, from its annotation and its index; -1: it is none of ours.
long manifest_node(const json_t *pod);

#endif
