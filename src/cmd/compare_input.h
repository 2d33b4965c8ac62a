// What compare and choose share: runs or a sweep named on the command line, read into a comparison.
// It prints nothing.
#ifndef CMD_COMPARE_INPUT_H
#define CMD_COMPARE_INPUT_H

#include "base/error.h"
#include "compare/sweep_record.h"

#include <jansson.h>
#include <stdbool.h>

struct compare_input_options {
	const char *runs;   // the directory
	const char *prices; // a file, or NULL
	const char *at;     // "8,16": numbers of nodes to model, or NULL
	bool different;     // compare runs of different commands too
	bool chosen;        // with a sweep, also the runs of clusters that were chosen from it
};

// names: a sweep (its id, the beginning of one), or runs; none: the latest sweep. The tree of compare.h with "name" (of
// the sweep or "runs") and, of a sweep, "job" (the file's path), "sets" (what was overridden) and "sweep" (its id).
// Owned by the caller; NULL and err.
json_t *compare_input_make(const struct compare_input_options *o, char *const *names, int count, struct error *err);

// The same of a sweep that is at hand, or else (t is NULL) of runs.
json_t *compare_input_of(const struct compare_input_options *o, const struct sweep_record *t, char *const *names,
	int count, struct error *err);

#endif
