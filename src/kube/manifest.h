// The plan as Jobs: the objects that make the nodes of a run, as JSON; and what they say of nodes, read back.
// Pure: it asks nobody. kube/api_server.h sends them, and exec/kubernetes.c chooses when.
//
// The nodes of one role are the pods of an Indexed Job. What the node of each index is stands in an annotation,
// "muster.nodes": "0-2,5". Jobs and pods carry the labels "muster.run" and "muster.role".
#ifndef KUBE_MANIFEST_H
#define KUBE_MANIFEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define MANIFEST_RUN "muster.run"     // label: the run's id
#define MANIFEST_ROLE "muster.role"   // label
#define MANIFEST_NODES "muster.nodes" // annotation

struct manifest {
	const json_t *plan;
	const char *run;     // its id
	const size_t *nodes; // their numbers in the plan, all of one role; index I of the Job is the I-th of them
	size_t count;        // at least 1
	size_t batch;        // 0 for the first Job of this role in the run, then one more for each
	const json_t *agent; // what agent_parts_pod gives
	const json_t *labels, *annotations; // of the Job alone, besides its own; may be NULL
	const json_t *owner;                // from manifest_owner: it goes with that Job; may be NULL
	bool persistent;                    // a node that is lost does not end the others
	bool non_root;                      // the namespace wants runAsNonRoot to be said
};

// The Job. Owned by the caller.
json_t *manifest_job(const struct manifest *m);

// Its name: "muster-RUN-ROLE", or a shorter one with a hash when that would be too long for its pods. Different runs,
// roles and batches have different names. Owned by the caller.
char *manifest_name(const char *run, const char *role, size_t batch);

// What makes others go with this Job, from the API server's answer to its POST: an owner reference, owned by the
// caller. NULL when it has no uid.
json_t *manifest_owner(const json_t *job);

// The node of each index of a Job, or of the Job of a pod, from the annotation; *count (at least 1) of them, owned by
// the caller. NULL when there is none or it is damaged.
size_t *manifest_nodes(const json_t *object, size_t *count);

// The node that a pod is, SIZE_MAX when it is none.
size_t manifest_node_of(const json_t *pod);

#endif
