// A job: what the user asked for, read from YAML and checked key by key.
// It makes no choices: defaults that depend on anything else are the plan's.
#ifndef JOB_JOB_H
#define JOB_JOB_H

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>

struct job; // defined in job.h once the fields are settled, see job.c

// Reads and checks a job file. sets: "run.env.X=1" texts of --set, applied in order after the file was read and checked like the file itself.
// NULL and err (code ERROR_USAGE, text "FILE:LINE:COLUMN: what was found, what was expected, did you mean") when it is not right.
struct job *job_load(const char *path, const char *const *sets, size_t nsets, struct error *err);

// The same from memory; name stands for the file in errors.
struct job *job_parse(const char *text, size_t len, const char *name, const char *const *sets, size_t nsets, struct error *err);
void job_free(struct job *job);

// The JSON Schema of the job file, made from the same table that checks it. Owned by the caller.
json_t *job_schema(void);

#endif
