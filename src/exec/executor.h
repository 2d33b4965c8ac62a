// Executors: make nodes exist and cease to exist. That is all an executor ever does.
// They speak no protocol: a node's hello is the only proof that it lives.
#ifndef EXEC_EXECUTOR_H
#define EXEC_EXECUTOR_H

#include "base/error.h"
#include "job/executor_traits.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

// What an executor works on. Everything it makes carries the label (the run's id).
struct cluster {
	const char *label;                                    // NULL in left and down of a reaper: any run's
	const json_t *plan;                                   // NULL in down and left of a process that never called up
	const char *run_dir;                                  // NULL likewise
	const char *url;                                      // where agents dial to: "wss://127.0.0.1:45123"
	const char *fingerprint;                              // SHA-256 of the controller's certificate, hexadecimal
	char *(*token)(const struct cluster *c, size_t node); // the secret that proves node K; owned by the caller
	void *token_data;
	void *state; // the executor's own, between up and down of one process; NULL in one that never called up
	const atomic_bool *cancelled; // non-zero: up should give up soon
	bool force;                   // down: what does not end by itself is forgotten after it was given time
	bool give_up;                 // down: so is what cannot be reached
	// Takes an event for the record, from any thread: "image" (how far it is), "pod" (what nodes wait for), "lost"
	// (a node that cannot come back; with "leaves" true it is told to end and does so in its grace), "warn". NULL:
	// nobody listens.
	void (*say)(const struct cluster *c, json_t *event);
	void *say_data;
};

// All members are required: executor_init asserts it.
struct executor {
	const struct executor_traits *traits; // its name, and what it differs in from others
	// Can this plan be done here? Touches nothing outside this process.
	int (*check)(const json_t *plan, struct error *err);
	// Where the controller is to listen so that the agents reach it, a numeric address: mostly 127.0.0.1, because
	// tunnels end there. Owned by the caller.
	char *(*address)(const json_t *plan, struct error *err);
	// Makes what is missing of the plan's nodes; what was made when it fails is removed by down.
	int (*up)(struct cluster *c, struct error *err);
	// Removes whatever carries the label. May be called at any time, twice, and by a process that never called up.
	// Outputs that a node keeps because they could not be brought back stay when there is a plan: then the run
	// itself ends, and only somebody else (`muster reap`) removes them.
	int (*down)(struct cluster *c, struct error *err);
	// Appends to found, an array, one object for each thing that carries the label: {"run", "what":
	// "process"|"directory"|"cgroup"..., "id", "live"}. live: the controller of that run is alive. Also, where they
	// are known, "run_dir" and "controller" {"pid", "started"}.
	int (*left)(struct cluster *c, json_t *found, struct error *err);
};

// For check: may this process open so many files for each node of the plan, beside those it needs anyway?
int executor_check_files(const json_t *plan, size_t each, struct error *err);

// For address: 127.0.0.1.
char *executor_loopback(const json_t *plan, struct error *err);

// NULL-ended. An unknown name is an error that lists the known ones.
extern const struct executor *const executors[];
// Asserts that every row is complete and that the rows are those of executor_traits_all; main calls it first.
void executor_init(void);
bool executor_is_complete(const struct executor *e);
const struct executor *executor_find(const char *name, struct error *err);

#endif
