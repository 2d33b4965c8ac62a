// The record of a sweep: which run was made for which of its points, and how it ended. One directory,
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
#ifndef COMPARE_SWEEP_RECORD_H
#define COMPARE_SWEEP_RECORD_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct sweep_record {
	char *id, *dir, *runs;
	json_t *tree; // sweep.json; trials[i] with "run" null was not begun, with "outcome" null is not over
	bool fresh;   // sweep_record_begin made it
	int lock;     // only the process that runs the sweep has it; else -1
};

// Is there a sweep of that name and hash?
bool sweep_record_exist(const char *runs, const char *name, const char *hash);

// Makes the sweep of that name and hash, or takes up the one that is there; locked, so that only one process goes on
// with it. sets is what was overridden; rounds: how often each point; the order is shuffled within each round, so that
// what changes with time meets all points alike.
struct sweep_record *sweep_record_begin(const char *runs, const char *name, const char *hash, const char *job_path,
	const char *job_text, json_t *sets, json_t *points, size_t rounds, unsigned long seed, struct error *err);

// To read: an id or the beginning of one, or NULL or "latest". NULL and err when there is none.
struct sweep_record *sweep_record_open(const char *runs, const char *name, struct error *err);
void sweep_record_free(struct sweep_record *t); // takes NULL

size_t sweep_record_count(const struct sweep_record *t);
json_t *sweep_record_get(const struct sweep_record *t, size_t i);         // owned by t
const json_t *sweep_record_point(const struct sweep_record *t, size_t i); // the point of trial i

// The first trial from i on that has to be run: never begun, or begun by a controller that was killed before its run
// was over; sweep_record_count when none.
size_t sweep_record_next(struct sweep_record *t, size_t i);

// Trial i was begun as that run; has ended that way after so many seconds. The file is written anew, beside and
// renamed.
int sweep_record_set_run(struct sweep_record *t, size_t i, const char *run, struct error *err);
int sweep_record_set_outcome(
	struct sweep_record *t, size_t i, const char *outcome, const char *why, double seconds, struct error *err);

// All sweeps below runs, the newest first: an array of ids, owned by the caller.
json_t *sweep_record_list(const char *runs);

#endif
