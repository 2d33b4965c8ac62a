// One `--set run.env.X=1`: a value put into the tree of a file, as if it had been written there.
// It checks no values: the file's own check does, and names the option as the place.
#ifndef JOB_SET_OPTION_H
#define JOB_SET_OPTION_H

#include "base/error.h"
#include "job/field.h"
#include "job/yaml.h"

// What errors call it: "--set run.env.X=1", on one line and not too long. Owned by the caller.
char *set_option_name(const char *text);

// Puts the value of text, PATH=YAML, where PATH is keys joined by '.' with [N] for the entries of lists, into the tree
// of a file of that shape. Maps on the way are made; [N] with N the length of the list appends. name must outlive the
// tree.
int set_option_apply(
	const struct field_shape *shape, struct yaml *tree, const char *text, const char *name, struct error *err);

#endif
