// Making a plan (job/plan.h) from a job.
// It reads no file and asks no machine: the same job, site file and directory always give the same plan.
#ifndef JOB_PLAN_MAKE_H
#define JOB_PLAN_MAKE_H

#include "base/error.h"

#include <jansson.h>

struct job;

// The plan of a job, owned by the caller; NULL and err when the job asks for the impossible. site (may be NULL) is the
// user's site file as a tree: defaults for deadline, heartbeat, lease, grace. dir is the absolute directory that
// relative input paths start from.
json_t *plan_make(const struct job *job, const json_t *site, const char *dir, struct error *err);

// The plan of a persistent cluster, from a cluster file: without ranks, with actions and perhaps hosts.
json_t *plan_make_cluster(const struct job *job, const json_t *site, const char *dir, struct error *err);

// The patterns of lines by which programs commonly say how far they are: "progress" of a job that does not say its own.
// Owned by the caller.
json_t *plan_make_progress_patterns(void);

#endif
