// The lifecycle of a run: its state, its record, and what each step of the state table does. Private to src/controller.
// It listens to nobody: controller reads signals, node_events what nodes say, and both report here.
#ifndef CONTROLLER_LIFECYCLE_H
#define CONTROLLER_LIFECYCLE_H

#include "base/error.h"
#include "base/loop.h"
#include "controller/controller_options.h"
#include "controller/event_queue.h"
#include "controller/membership.h"
#include "controller/persistent_cluster.h"
#include "controller/server.h"
#include "controller/state_table.h"
#include "controller/worker_thread.h"
#include "exec/executor.h"
#include "predict/iterations.h"
#include "run/run.h"
#include "wire/conn.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct lifecycle {
	const struct controller_options *options;
	const json_t *plan;
	struct run *run;
	struct loop *loop;
	struct server *server;
	const struct server_ops *node_events;
	struct persistent_cluster *persistent; // NULL: a run that ends by itself
	struct membership membership;
	struct worker_thread *worker;
	struct event_queue *event_queue; // what the executor says
	struct cluster cluster;
	json_t *left;          // what the executor finds in the end; the worker's while it looks
	atomic_bool cancelled; // seen by the executor's thread
	char *secret, *nonce, *machine;
	enum state state;
	size_t attempt;
	int cancels;
	double started;
	struct conn_message *peers;    // sent before each launch
	json_t *began;                 // by name of a phase: when it began
	json_t *open;                  // the phases that go on now
	size_t refused;                // strangers so far
	struct iterations *iterations; // of all ranks; NULL when nothing in the plan depends on them
	json_t *unmatched;             // pattern of an output -> how many nodes had no file for it
	size_t lost_outputs;           // that exist on a node and are not in the run directory
	char *lost_output;             // the first of them, and why
	struct loop_timer *deadline, *timeout, *silence, *watch, *spend;
	struct loop_watch *signals, *leash;
	double *away_since; // by node: its last sign of life; 0: it is not away
	bool up_done, down_wanted;
	// The outcome, set once.
	const char *outcome, *stop_why;
	char *why;
	int exit;
	size_t told; // 1 + the node that somebody told to stop, where that is the outcome's reason; else 0
	bool broken; // the run directory cannot be written
};

void lifecycle_init(struct lifecycle *c);                              // options, plan and run are set
int lifecycle_make_persistent(struct lifecycle *c, struct error *err); // sets c->persistent; after init
void lifecycle_fini(struct lifecycle *c);                              // after the loop
void lifecycle_start_timers(struct lifecycle *c);                      // the loop is there
void lifecycle_stop_timers(struct lifecycle *c);

void lifecycle_dispatch(struct lifecycle *c, enum happening happening,
	const char *why); // looks it up in the table and does what it says

void lifecycle_record(struct lifecycle *c, json_t *event); // into the record; takes the event
void lifecycle_phase_begin(struct lifecycle *c, const char *name);
void lifecycle_phase_end(struct lifecycle *c, const char *name); // says nothing of a phase that does not go on
double lifecycle_seconds_since(const struct lifecycle *c, const char *name); // seconds since a phase began
void lifecycle_on_write_error(const char *why, void *data); // the record cannot be written; data is the lifecycle

void lifecycle_set_outcome(struct lifecycle *c, const char *outcome, int exit, const char *why); // the first one counts
void lifecycle_override_outcome(struct lifecycle *c, const char *outcome, int exit,
	const char *why); // what went wrong after all ranks had ended well
void lifecycle_fail(struct lifecycle *c, const char *outcome, int exit, const char *why);
void lifecycle_fail_attempt(
	struct lifecycle *c, const char *why); // the ranks failed; they are started again if the job says so

// A node is lost: it cannot come back.
void lifecycle_lose_node(struct lifecycle *c, size_t node, const char *why);
// A node was told to stop by somebody else and leaves: the run is over. A cluster that stays up has lost it once it has
// left.
void lifecycle_on_terminated(struct lifecycle *c, size_t node);
// It has left, or its connection broke meanwhile.
void lifecycle_on_terminated_gone(struct lifecycle *c, size_t node);

void lifecycle_on_executor_event(json_t *event, void *data); // takes the event; data is the lifecycle

double lifecycle_cores(const struct lifecycle *c); // of the largest node that has said hello

void lifecycle_send_launch(struct lifecycle *c, size_t node);
void lifecycle_send_bye(struct lifecycle *c, size_t node);
void lifecycle_lose_output(struct lifecycle *c, size_t node, const char *path, const char *why); // the run has failed
void lifecycle_check_nodes_gone(struct lifecycle *c); // has the last node left?
void lifecycle_wait_for_nodes(struct lifecycle *c);   // for nodes that leave, anew
void lifecycle_check_away_soon(struct lifecycle *c);  // whether nodes that are away still live

#endif
