// The containers that nodes run their ranks in, created by the Docker Engine of their own machine.
// It makes no image, and says nothing to what runs inside: agent/container does.
#ifndef DOCKER_RANK_CONTAINER_H
#define DOCKER_RANK_CONTAINER_H

#include "docker/engine.h"

#include <jansson.h>
#include <stdbool.h>

// The engine of this machine; NULL and err, which says what to do, when it does not answer or does not see this
// machine's files.
struct engine *rank_container_engine(struct error *err);

struct rank_container {
	const char *label; // of the run
	const char *node;  // its number
	const char *image;
	const char *program; // the agent's executable: the first process is it, with the arguments "container-init" and
			     // socket
	const char *socket;
	const json_t *dirs;    // of the node, which are there under the same names: an array of texts
	const json_t *volumes; // as in job/plan.h; may be NULL
};

// Makes and starts a container with the network of the machine, as the user that this process is. It carries the run's
// label, this process being whose it is, and the engine removes it as soon as its first process has ended. Returns its
// id, owned by the caller.
char *rank_container_make(struct engine *e, const struct rank_container *box, struct error *err);

// Does it run? Also when nobody can tell.
bool rank_container_runs(struct engine *e, const char *id);

// Removes a node's boxes (node NULL: those of all nodes of the run), running or not, and waits until they are gone.
int rank_container_remove(struct engine *e, const char *label, const char *node, struct error *err);

// The same for whoever does not know whether there is an engine, or a box: without one nothing is to do.
// rank_container_list: appends what is there, as executor.h says.
int rank_container_reap(const char *label, struct error *err);
int rank_container_list(const char *label, json_t *found, struct error *err);

#endif
