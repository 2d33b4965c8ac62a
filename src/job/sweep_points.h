// The points of a sweep: what it runs one job at, each a list of keys with other values.
// It runs nothing.
#ifndef JOB_SWEEP_POINTS_H
#define JOB_SWEEP_POINTS_H

#include "base/error.h"
#include "job/job.h"

#include <jansson.h>

// The points of a job's sweep, in the order they are written: the product of its lists, without those excluded, and
// those included. Each is
// {"name": "cluster.nodes=2 cluster.cpus=500m", "sets": ["cluster.nodes=2", "cluster.cpus=500m"]}, sets as for --set.
//     Owned by the caller;
// NULL and err, with the place in the file, when the job has no sweep or it makes no sense.
json_t *sweep_points_make(const struct job *job, struct error *err);

// What every run of the sweep is given besides: its `stop`, as texts for --set. Owned by the caller.
json_t *sweep_points_sets(const struct job *job);

#endif
