// The agent in immutable ConfigMaps, which all runs of a namespace share: how it gets into a container without a
// registry and without a program of the image. It makes no pods.
//
// A set is named by what is in it: "muster-agent-KEY-loader" holds the loader (loader/loader.c), "muster-agent-KEY-0"
// and so on the agent, compressed. Who has rights to replace ConfigMaps can replace these: the loader starts nothing
// but the agent whose SHA-256 the pod names.
//
// Sets that are not used stay, because the next run will want them, until `muster reap` removes them. A run that is
// about to make its Jobs can lose a set to that: its pods then wait with an event FailedMount, and agent_parts_ensure
// brings the set back.
#ifndef KUBE_AGENT_PARTS_H
#define KUBE_AGENT_PARTS_H

#include "base/crypto.h"
#include "kube/api_server.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define AGENT_PARTS_HOME "/.muster"     // in a container: the agent, its directory; an emptyDir
#define AGENT_PARTS_NAME "muster-agent" // what the names of all sets begin with
#define AGENT_PARTS_KEY 17              // room for a set's key with its NUL

struct agent_parts {
	char sha256[CRYPTO_HEX];   // of the agent, as it arrives
	char key[AGENT_PARTS_KEY]; // of the set
	size_t count;              // of its parts, without the loader
	const char *machine;       // what the agent runs on, as the label kubernetes.io/arch of a machine says it
};

struct agent_parts_options {
	const char *agent; // the file
	const atomic_bool *cancelled;
	void (*on_upload)(size_t bytes, void *data); // before so many bytes are sent; may be NULL
	void *data;
};

// Makes those ConfigMaps of the set that are missing in the server's namespace. When none is missing, that is one
// request, and nothing is compressed. *parts is zeroed before the first call; a second one does not read the agent
// again when nothing is missing.
int agent_parts_ensure(struct api_server *server, const struct agent_parts_options *options, struct agent_parts *parts,
	struct error *err);

// What a pod needs so that its container "node" starts the agent with these arguments (an array of texts) as its first
// process: {"volumes": [...], "nodeSelector": {...}} for the pod, {"volumeMounts": [...], "command": [...]} for the
// container. Owned by the caller. With agent_image an init container brings the agent, {"initContainers": [...]}
// besides, and parts is not looked at; it needs the limits and the security context that the node has.
json_t *agent_parts_pod(const struct agent_parts *parts, const char *agent_image, const json_t *arguments);

// What starts the agent with these arguments in such a container later: an array, owned by the caller. It waits until
// the agent is there.
json_t *agent_parts_command(const char *agent_image, const json_t *arguments);

#define AGENT_PARTS_LABEL "muster.agent" // with the key: on the ConfigMaps, and on each Job that needs them

// Appends the sets that no Job of the namespace needs to found, as an executor's left does, with the set's name as the
// run; and removes them. set NULL: all of them; else the one of this name.
int agent_parts_find_unused(struct api_server *server, const char *set, json_t *found, struct error *err);
int agent_parts_remove_unused(struct api_server *server, const char *set, struct error *err);

// Is this the name of a set, rather than a run's label?
bool agent_parts_is_set(const char *name);

#endif
