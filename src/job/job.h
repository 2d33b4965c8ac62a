// A job: what the user asked for, read from YAML and checked key by key.
// It makes no choices: defaults that depend on anything else are the plan's.
#ifndef JOB_JOB_H
#define JOB_JOB_H

#include "base/error.h"
#include "job/job_fields.h"

#include <jansson.h>
#include <stddef.h>

// Reads and checks a job file. sets: "run.env.X=1" texts of --set, applied in order after the file was read and checked
// like the file itself. NULL and err (code ERROR_USAGE, text "FILE:LINE:COLUMN: what was found, what was expected, did
// you mean") when it is not right.
struct job *job_load(const char *path, const char *const *sets, size_t nsets, struct error *err);

// The same from memory; name stands for the file in errors.
struct job *job_parse(
	const char *text, size_t len, const char *name, const char *const *sets, size_t nsets, struct error *err);
// The same for a cluster file: `name`, `cluster` and `actions`, as `muster up` takes it.
struct job *job_parse_cluster(
	const char *text, size_t len, const char *name, const char *const *sets, size_t nsets, struct error *err);
void job_free(struct job *job);

// It runs on the persistent cluster of that name, which has so many nodes: all of them unless it says how many. -1 and
// err when it wants more. share: also while other jobs are there.
int job_on(struct job *job, const char *cluster, size_t nodes, int share, struct error *err);

// The JSON Schema of the job file, made from the same table that checks it. Owned by the caller.
json_t *job_schema(void);

#endif
