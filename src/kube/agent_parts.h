// The agent in immutable ConfigMaps, which all runs of a namespace share: how it gets into a container without a
// registry and without a program of the image. It makes no pods.
#ifndef KUBE_AGENT_PARTS_H
#define KUBE_AGENT_PARTS_H

#include "base/crypto.h"
#include "kube/api_server.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stddef.h>

#define AGENT_PARTS_HOME "/.muster" // in a container: the agent, its directory; an emptyDir

struct agent_parts {
	char sha256[CRYPTO_HEX]; // of the agent
	size_t count;            // of its parts
};

// Makes those of the agent's ConfigMaps that are missing in the server's namespace: the loader and the compressed
// agent.
int agent_parts_ensure(struct api_server *server, const char *agent, struct agent_parts *parts,
	const atomic_bool *cancelled, struct error *err);

// What a container needs to start the agent with these arguments (an array of texts) as its first process: an object
// {"volumes": [...], "volumeMounts": [...], "command": [...]}, owned by the caller. agent_image not NULL: an init
// container brings the agent instead, {"initContainers"} besides, and nothing of ensure is needed.
json_t *agent_parts_pod(const struct agent_parts *parts, const char *agent_image, const json_t *arguments);

// The label of whatever needs these parts: "muster.agent" with this value. Owned by the caller.
char *agent_parts_label(const struct agent_parts *parts);

// Appends the parts that no Job of the namespace needs to found, as an executor's left does; and removes them.
int agent_parts_find_unused(struct api_server *server, json_t *found, struct error *err);
int agent_parts_remove_unused(struct api_server *server, struct error *err);

#endif
