// A node as its agent sees it: what the parts of the agent share. Private to src/agent.
// It is data and a few words every part says; the walk through the phases is in prepare_node, local_ranks and agent.
#ifndef AGENT_NODE_H
#define AGENT_NODE_H

#include "agent/forked_task.h"
#include "agent/rank.h"
#include "agent/uplink.h"
#include "base/error.h"
#include "base/loop.h"
#include "node/mpi_detect.h"
#include "node/output_parser.h"
#include "node/pmi.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct node {
	// From the executor.
	json_t *config;
	const char *run, *dir, *address,
		*name;   // address: where peers reach us; the preflight may settle on another than the executor says
	json_t *offered; // addresses that we can be tried at, address first
	const char *cgroups; // for the ranks, or NULL
	json_t *own_groups;  // those that the agent makes itself
	char *own_procs;
	const char *limited; // the groups that this node as a whole is in, or NULL
	const char *shared;  // a directory that all nodes of the run see, or NULL
	bool same_files;     // the controller's files are seen here under the same names
	size_t id, count;
	char *data_dir, *out_dir;
	int claim; // the descriptor that keeps our address ours, or -1

	struct loop *loop;
	struct uplink *up;
	int listener, port; // where peers reach the preflight
	char *machine;      // the same text for nodes that share memory

	// From the controller's launch.
	json_t *plan;  // our slice
	json_t *peers; // of all nodes: {node, name, address, port}, and addresses where there are several
	json_t *moved; // "K": the address of node K where it is not the first one
	char *nonce;
	size_t attempt; // 0 before the first launch
	bool preflight_only;

	// What the rendezvous gave: for each rank of the run.
	json_t *ports;    // its port, an array; empty when nobody asked for one
	size_t *machines; // the number of its machine
	size_t size;

	// What serves MPI programs; MPI_FAMILY_NONE where nobody asked for it. Open MPI's: its mpirun (on node 0) and
	// the networks that nodes reach each other by ("10.0.0.0/24,...").
	enum mpi_family mpi;
	char *mpirun, *mpi_nets;

	const char *phase; // NULL between phases
	double phase_start;
	bool failed; // a fatal thing was said; wait for bye

	struct prepare *prepare;
	struct rendezvous *rendezvous;
	struct setup *setup;
	struct container *container;       // NULL where there is none
	struct input_client *input_client; // while the stager is at work and may want what the controller has
	struct local_ranks *local_ranks;
	struct outputs *outputs; // once the ranks have ended
	bool keeps_outputs;      // some could not be brought back: the directory stays
	bool loses_outputs;      // and it cannot
	struct fence *fences;
	struct loop_timer *sampler;
};

// Says that something happened here; takes the event and adds the node.
void node_event(struct node *node, json_t *event);

void node_phase(struct node *node, const char *name); // ends the phase that is going on, begins name (NULL: none)

// Says what is fatal; rank < 0 when it is nobody's. Only the first one counts.
void node_fail(struct node *node, long rank, const char *why);
// The same for a text that says itself which nodes it is about.
void node_fail_named(struct node *node, const char *why);

// As the user calls this node's host, where there is such a name.
const char *node_host_name(const struct node *node);

// Brings data (taken) to the fence of that name and hears what all nodes brought: an array by node, borrowed. Asked
// again after the line was broken; several fences may be open.
void node_fence(struct node *node, const char *name, json_t *data,
	void (*on_all)(struct node *node, const json_t *all, void *data), void *user);
void node_fence_answer(struct node *node, const json_t *msg);
void node_fence_again(struct node *node); // after the line was broken
void node_fence_drop(struct node *node);  // forget all

// Fills the placeholders that only a live node knows, in a copy of tree (owned by the caller). rank is the rank of the
// run whose {port} it is, or -1.
json_t *node_expand(struct node *node, const json_t *tree, long rank, struct error *err);

#endif
