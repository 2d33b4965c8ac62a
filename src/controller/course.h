// The course of a run: its state, its record, and what each step of the state table does. Private to src/controller.
// It hears nobody: controller hears signals, hearing hears nodes, and both say here what happened.
#ifndef CONTROLLER_COURSE_H
#define CONTROLLER_COURSE_H

#include "base/error.h"
#include "base/loop.h"
#include "controller/controller.h"
#include "controller/keep.h"
#include "controller/mailbox.h"
#include "controller/roster.h"
#include "controller/server.h"
#include "controller/state.h"
#include "controller/worker.h"
#include "exec/executor.h"
#include "predict/iterations.h"
#include "run/run.h"
#include "wire/conn.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct course {
	const struct controller_options *options;
	const json_t *plan;
	struct run *run;
	struct loop *loop;
	struct server *server;
	const struct server_ops *hearing;
	struct keep *keep; // NULL: a run that ends by itself
	struct roster roster;
	struct worker *worker;
	struct mailbox *mailbox; // what the executor says
	struct cluster cluster;
	volatile int cancelled; // seen by the executor's thread
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
	struct loop_timer *deadline, *timeout, *silence, *watch, *spend;
	struct loop_watch *signals, *leash;
	double *away_since; // by node: its last sign of life; 0: it is not away
	bool up_done, down_wanted;
	// The outcome, set once.
	const char *outcome, *stop_why;
	char *why;
	int exit;
	bool broken; // the run directory cannot be written
};

void course_init(struct course *c);         // options, plan and run are set
void course_fini(struct course *c);         // after the loop
void course_start_timers(struct course *c); // the loop is there
void course_stop_timers(struct course *c);

void course_happen(
	struct course *c, enum happening happening, const char *why); // looks it up in the table and does what it says

void course_say(struct course *c, json_t *event); // into the record; takes the event
void course_phase_begin(struct course *c, const char *name);
void course_phase_end(struct course *c, const char *name);     // says nothing of a phase that does not go on
double course_since(const struct course *c, const char *name); // seconds since a phase began
void course_trouble(const char *why, void *data);              // the record cannot be written; data is the course

void course_decide(struct course *c, const char *outcome, int exit, const char *why); // the first one counts
void course_spoil(struct course *c, const char *outcome, int exit,
	const char *why); // what went wrong after all ranks had ended well
void course_fail(struct course *c, const char *outcome, int exit, const char *why);
void course_fail_attempt(
	struct course *c, const char *why); // the ranks failed; they are started again if the job says so

void course_executor_says(json_t *event, void *data); // takes the event; data is the course

double course_cores(const struct course *c); // of the largest node that has said hello

void course_send_launch(struct course *c, size_t node);
void course_send_bye(struct course *c, size_t node);
void course_check_gone(struct course *c);           // has the last node left?
void course_wait(struct course *c);                 // for nodes that leave, anew
void course_resize(struct course *c, size_t nodes); // the nodes of a kept cluster are now so many
void course_look_soon(struct course *c);            // whether nodes that are away still live

#endif
