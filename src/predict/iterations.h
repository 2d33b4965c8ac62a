// Iterations: the times at which ranks said how far they were, put together from events into what an estimate is made
// of. It judges nothing: estimate.h does.
#ifndef PREDICT_ITERATIONS_H
#define PREDICT_ITERATIONS_H

#include "predict/estimate.h"

#include <jansson.h>
#include <stddef.h>

struct iterations;

struct iterations *iterations_new(void);
void iterations_free(struct iterations *it); // takes NULL

// Takes in a `start`, `progress` or `exit` event; others are passed over. A rank that is started again begins anew.
// Memory is bounded: when a rank has too many turns, neighbours are put together.
void iterations_add(struct iterations *it, const json_t *event);

// The rank was started at AT seconds; what it said before is forgotten.
void iterations_start(struct iterations *it, long rank, double at);

// A head that came at AT seconds, DONE turns being done; total and epoch as in a progress event (NAN and 0 where not
// known).
void iterations_head(struct iterations *it, long rank, double at, double done, double total, double epoch);

// The rank whose time is the run's: the lowest one that has said how far it is; -1 without any.
long iterations_leader(const struct iterations *it);

// What the rank has shown so far; 0 when it has shown nothing. The turns stay it's, and valid until more is added.
// input->total is NAN when nobody has said it, and before is 0 when no start was seen.
int iterations_input(const struct iterations *it, long rank, struct estimate_input *input);

// When the rank was started, seconds since 1970 by its node's clock; NAN when that was not seen.
double iterations_begun(const struct iterations *it, long rank);

// Seconds from the rank's start to its end; NAN when either was not seen.
double iterations_seconds(const struct iterations *it, long rank);

// As it stands in reports: {"rank", "seen", "warm_up", "pauses", "every", "turn": [value, low, high], "median",
// "spread", "init", "total": [value, low, high], "turns", "gone", "doubts": [words]}; null for what is not known. Owned
// by the caller.
json_t *iterations_describe(const struct iterations *it, long rank);

#endif
