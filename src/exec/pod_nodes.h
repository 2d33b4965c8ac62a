// The nodes of a cluster of pods: which Job's pod each one is, and the tunnels to them.
// It makes no Jobs (exec/kubernetes.c) and does not wait (exec/pod_wait.h).
#ifndef EXEC_POD_NODES_H
#define EXEC_POD_NODES_H

#include "base/error.h"
#include "exec/executor.h"
#include "exec/run_pods.h"
#include "exec/tunnel.h"
#include "kube/api_server.h"

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

// A node's pod.
struct pod_nodes_place {
	size_t node;
	char *job;
	struct pod_nodes_batch *batch;
	bool open;   // its tunnel is wanted
	bool seen;   // an agent was there
	bool gone;   // and is not any more, or there will never be one
	char *words; // what was said last when its tunnel was closed
	int tries;
};

// The pods of one up, whose tunnels are served together. A cluster that grows has several; those of before are left
// alone.
struct pod_nodes_batch {
	struct pod_nodes_batch *next;
	struct pod_nodes *nodes;
	struct tunnels *tunnels;
	struct pod_nodes_place *places; // never moved or changed in number: the thread of the tunnels looks at them
	size_t count;
};

// Between up and down of one process.
struct pod_nodes {
	struct api_server *server;
	struct run_pods *pods;
	const struct cluster *cluster;
	struct pod_nodes_batch *batches;
	size_t jobs;                     // made so far
	bool posted;                     // by this process: there may be Jobs
	pthread_mutex_t lock;            // of what follows, and of places
	struct pod_nodes_place **places; // by node; NULL: missing
	size_t count;
};

// A text of `cluster.kubernetes`; NULL when it is not given.
const char *pod_nodes_setting(const json_t *plan, const char *name);

// NULL and err when there is no configuration of a cluster. The tunnels must be stopped before it is freed; takes NULL.
struct pod_nodes *pod_nodes_new(const json_t *plan, struct error *err);
void pod_nodes_free(struct pod_nodes *n);

// Watches the pods of the run, once. Nodes that are lost from now on are said.
int pod_nodes_watch(struct pod_nodes *n, struct error *err);

// Forgets the pods that are not wanted any more or have ended.
void pod_nodes_drop(struct pod_nodes *n, size_t wanted);
void pod_nodes_forget_unseen(struct pod_nodes *n); // those in which no agent has been

// Places for what is missing, with their tunnels not yet open; NULL in *batch when nothing is.
int pod_nodes_add(struct pod_nodes *n, size_t wanted, struct pod_nodes_batch **batch, struct error *err);

// What a process before this one made, of a persistent cluster whose controller was killed: what runs and is wanted is
// kept.
void pod_nodes_adopt(struct pod_nodes *n);

void pod_nodes_set_job(struct pod_nodes *n, size_t node, const char *job);
bool pod_nodes_is_current(struct pod_nodes *n, const char *job, size_t node); // it is that Job's pod

// Opens the tunnel of a node whose pod runs, unless it is open.
void pod_nodes_open(struct pod_nodes *n, size_t node);
bool pod_nodes_was_seen(struct pod_nodes *n, size_t node);
bool pod_nodes_has_stopped(const struct run_pod *pod);

#endif
