// Trials: the record of a sweep: which run was made for which of its points, and how it ended. One directory,
// RUNS/sweeps/ID. It starts no run.
//
//   sweep.json   {"sweep": 1, "id", "name", "job": the file's path, "created", "sets": what was overridden, "points":
//                [{"name", "sets"}], "trials": [{"point", "round", "run", "outcome", "why",
//                "seconds": from its begin to its end}]}
//   job.yaml     the job file as it was given
//   prices.yaml  what nodes cost, when that was said for the sweep
//   compare.json compare.csv compare.html times.txt: its clusters side by side, when all runs are over
//
// Its id is the job's name and a hash of the file and of what was overridden, so the same command finds its sweep again
// and goes on with it.
#ifndef COMPARE_TRIALS_H
#define COMPARE_TRIALS_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct trials {
	char *id, *dir, *runs;
	json_t *tree; // sweep.json; trials[i] with "run" null was not begun, with "outcome" null is not over
	bool fresh;   // trials_begin made it
	int lock;     // only the process that runs the sweep has it; else -1
};

// Is there a sweep of that name and hash?
bool trials_exist(const char *runs, const char *name, const char *hash);

// Makes the sweep of that name and hash, or takes up the one that is there; locked, so that only one process goes on
// with it. sets is what was overridden; rounds: how often each point; the order is shuffled within each round, so that
// what changes with time meets all points alike.
struct trials *trials_begin(const char *runs, const char *name, const char *hash, const char *job_path,
	const char *job_text, json_t *sets, json_t *points, size_t rounds, unsigned long seed, struct error *err);

// To read: an id or the beginning of one, or NULL or "latest". NULL and err when there is none.
struct trials *trials_open(const char *runs, const char *name, struct error *err);
void trials_free(struct trials *t); // takes NULL

size_t trials_count(const struct trials *t);
json_t *trials_get(const struct trials *t, size_t i);         // owned by t
const json_t *trials_point(const struct trials *t, size_t i); // the point of trial i

// The first trial from i on that has to be run: never begun, or begun by a controller that was killed before its run
// was over; trials_count when none.
size_t trials_next(struct trials *t, size_t i);

// Trial i was begun as that run; has ended that way after so many seconds. The file is written anew, beside and
// renamed.
int trials_set_run(struct trials *t, size_t i, const char *run, struct error *err);
int trials_set_outcome(
	struct trials *t, size_t i, const char *outcome, const char *why, double seconds, struct error *err);

// All sweeps below runs, the newest first: an array of ids, owned by the caller.
json_t *trials_list(const char *runs);

#endif
