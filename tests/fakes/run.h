// A run of two nodes with a rank each under a real lifecycle, whose nodes and executor are the test: on top of
// fakes/controller.h.
#ifndef FAKES_RUN_H
#define FAKES_RUN_H

#include "controller/lifecycle.h"
#include "fakes/controller.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct fake_run {
	char top[32]; // the directory of runs
	json_t *plan;
	json_t *left;       // what the executor finds at the end
	const char *called; // the member of the executor that was called last
	struct controller_options options;
	struct lifecycle c;
};

int fake_run_set_up(void **state); // *state is the run; fixtures of cmocka
int fake_run_tear_down(void **state);

// more: further lines of the job file; those that begin with two blanks are keys of `run`.
void fake_run_start(struct fake_run *w, const char *more, bool preflight_only);

// Does what the worker thread was given, as fake_work, and returns which member of the executor that was: "up", "down"
// or "left".
const char *fake_run_work(struct fake_run *w, const char *why);

// What the nodes say.
void fake_run_hello(struct fake_run *w, size_t node);
void fake_run_event(struct fake_run *w, size_t node, json_t *event); // takes the event
void fake_run_rank_starts(struct fake_run *w, size_t rank);
void fake_run_rank_exits(struct fake_run *w, size_t rank, int status, int attempt);
void fake_run_leaves(struct fake_run *w, size_t node);
void fake_run_away(struct fake_run *w, size_t node, double seconds); // silent for so long

// Both nodes say hello and the executor is through: the ranks are launched.
void fake_run_bring_up(struct fake_run *w);
// Both nodes leave, the executor removes them, and the run is over.
void fake_run_wind_up(struct fake_run *w);

// How many times events.jsonl holds this text.
size_t fake_run_count_logged(const struct fake_run *w, const char *text);

#endif
