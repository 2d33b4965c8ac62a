// Containers in a plan: images, what they are built from, and volumes, of the nodes themselves or of their ranks.
// It looks at no directory and asks no engine: whether an image can be had the run finds out.
#ifndef JOB_CONTAINERS_H
#define JOB_CONTAINERS_H

#include "base/error.h"
#include "job/job.h"

#include <jansson.h>

// Adds what nodes are made of, "build" and "volumes" of plan.h, where the job has them. dir: see plan_make.
int containers_of_nodes(const struct job *job, const char *dir, json_t *plan, struct error *err);

// Adds what ranks run in, where the job says so: "container", the setup step that has the image, and the input it is
// built from. The plan has its "inputs" and "setup" already.
int containers_of_ranks(const struct job *job, const char *dir, json_t *plan, struct error *err);

#endif
