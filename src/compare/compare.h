// Compare: runs of one job on different clusters as one table: time, rate, speed-up, cost, and which differences are
// none. It prints nothing, and knows nothing of sweeps.
#ifndef COMPARE_COMPARE_H
#define COMPARE_COMPARE_H

#include "base/error.h"
#include "run/run.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct compare;

// prices (may be NULL) as prices.h gives them; must outlive it.
struct compare *compare_new(const json_t *prices);
void compare_free(struct compare *c);

// Adds a run; name is the cluster's (NULL: made from the plan: "2 x local, 0.5 CPUs"). Runs of the same name are
// repeats of one row. sets (may be NULL) is how the job was varied to get there. A run that has neither ended well nor,
// while it goes on, shown an iteration is counted as failed.
// -1 and err when its directory cannot be read.
int compare_add(struct compare *c, const struct run *run, const char *name, const json_t *sets, struct error *err);

// Adds a run that cannot be read, or (id is NULL) that could not even begin, and why: a failed one. Those that can be
// read come first.
void compare_add_lost(struct compare *c, const char *id, const char *name, const json_t *sets, const char *why);

// Two runs that did not do the same, by their commands and environments: where these differ, in *a and *b, owned by the
// caller. False when all did the same.
bool compare_differs(const struct compare *c, char **a, char **b);

// Everything, owned by the caller:
//   {"compare": 1, "prices": the file's name, "currency", "as_of", "rows": [{"name", "sets", "executor", "type",
//       "nodes", "cpus", "memory", "size", "runs": [ids], "failed",
//      "kind": "measured"|"predicted"|"modelled"|"failed", "kind_of": the first row that differs from this one in nodes
//          alone, "seconds": [v, low, high] of the program's run,
//      "mean": the same as the mean over the nodes, "turn": [..], "rate": samples (or iterations) a second of all
//          ranks, "init", "overhead": what the
//      cluster took besides: bring-up, inputs, teardown, attempts that failed, "speedup", "share": its size in smallest
//      ones, "efficiency",
//      "cost": [v, low, high], "front": no other is both faster and cheaper, "expected": the job's, with "off": how
//          much longer it took, relative, and "held": within the interval; or null,
//      "doubts": [..], "failures": [{"run" (or null), "outcome", "why"}], "spread": [five quantiles of one turn's
//          time]}],
//    "unit": what "rate" counts, "pairs": [{"a", "b": rows, "ratio": [v, low, high] of their times, "verdict"}],
//        "models": [{"name", "serial", "parallel",
//      "talk", "error", "points"}]}
// null where something is not known. Pairs are of any two rows that were run; of more than 100 rows, each with the
// smallest cluster. Rows are in order of nodes, then of CPUs. For each cluster of at (numbers of nodes) that was not
// run, the model of its kind adds a row. Speed-up and efficiency are against the smallest cluster, efficiency for each
// of its CPUs where they are limited, else for each node. Intervals are 95 %.
json_t *compare_make(const struct compare *c, const size_t *at, size_t nat);

#endif
