// An agent's uplink, ranks, forked tasks and watched descriptors that only record what is asked of them, and a node
// with a plan, for unit tests of the agent. They replace the real modules at link time; nothing happens unless the test
// makes it happen.
#ifndef FAKES_AGENT_H
#define FAKES_AGENT_H

#include "agent/forked_task.h"
#include "agent/node.h"
#include "agent/rank.h"
#include "fakes/loop.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
	FAKE_RANKS_MAX = 16,
	FAKE_TASKS_MAX = 16,
	FAKE_WATCHES_MAX = 16,
	FAKE_STREAMS_MAX = 16,
	FAKE_RANK_PID = 1 << 30
};

struct rank {
	struct rank_options options; // argv, env, dir and cgroups are copies
	bool running, freed;
	json_t *signals; // that were sent to it
	size_t resumed;  // how often
};

struct forked_task {
	struct forked_task_options options;
	bool gone;          // has exited, or was killed
	bool ended, killed; // asked to end; by forked_task_kill
};

struct fake_agent {
	json_t *events;              // of the node, in this order
	json_t *sent;                // messages to the controller
	json_t *output;              // by stream: {"1": text}
	bool full[FAKE_STREAMS_MAX]; // by stream; the test sets them
	const char *broken;          // streams cannot be opened because of this
	struct rank ranks[FAKE_RANKS_MAX];
	size_t nranks;
	const char *rank_error; // ranks cannot be started because of this
	struct forked_task tasks[FAKE_TASKS_MAX];
	size_t ntasks;
	const char *task_error; // forked tasks cannot be started because of this
};

extern struct fake_agent fake;

// --- a node -------------------------------------------------------------------------

int fake_node_set_up(void **state); // *state is a node in a directory of its own; fixtures of cmocka
int fake_node_tear_down(void **state);

// As after a launch: what is in this job file is the plan, the node is the id-th, and the K-th node's address is
// 10.0.0.K.
void fake_node_launch(struct node *node, const char *job, size_t id);

// --- what happens -------------------------------------------------------------------

bool fake_rank_output(size_t k, const char *text); // what on_output returned
bool fake_rank_metric(size_t k, const char *line);
void fake_rank_exit(size_t k, int status, int signal);

void fake_task_line(size_t k, json_t *line); // takes the line
void fake_task_exit(size_t k, int status);

void fake_watches_read(void); // calls those that have something to read

// The controller's answer to the fence: what all nodes brought, taken.
void fake_fence_answer(struct node *node, const char *name, json_t *all);

// --- what was recorded ----------------------------------------------------------------

size_t fake_count_events(const char *type);
const json_t *fake_event(const char *type); // the last one, or NULL; borrowed
const char *fake_failure(void);             // why it failed; NULL: it did not

size_t fake_count_fences(const char *name);      // how many times it was sent
const json_t *fake_fence_data(const char *name); // what was brought to it, or NULL; borrowed

const char *fake_output(const char *stream);          // what came to it; "" for nothing
bool fake_rank_signalled(size_t k, const char *list); // exactly those: "15 9"
const char *fake_rank_env(size_t k, const char *name);

#endif
