// The inputs of a plan: where each comes from and where it goes, made of the job's texts alone.
// It looks at no file: whether an input is there the run finds out.
#ifndef JOB_INPUT_H
#define JOB_INPUT_H

#include "base/error.h"
#include "job/job.h"

#include <jansson.h>

// The plan's "inputs", owned by the caller; NULL and err when one leads nowhere or two land on the same path. dir: see
// plan_make.
json_t *input_list(const struct job *job, const char *dir, struct error *err);

// A path of the job file as an absolute one without "." and "//". Owned by the caller.
char *input_absolute(const char *dir, const char *path);

#endif
