// Placeholders in texts: {rank} {node} {nodes} {size} {local_rank} {role} {index} {data} {out} {addr[0]} {port}
// {port[0]} {hosts}
// {hostfile}. It knows the names only by the look-up it is given: what the look-up does not know stays as it is, so a
//     JSON object or an awk
// program in a command survives. So does ${name}, which is the shell's. {{name}} is {name}, unexpanded.
#ifndef JOB_PLACEHOLDER_EXPAND_H
#define JOB_PLACEHOLDER_EXPAND_H

#include "base/error.h"

#include <jansson.h>

// Returns the value of name ("rank", "addr") with its index (-1 when there is none), owned by the caller; NULL when the
// name is not known here. An index out of range sets err->code.
typedef char *placeholder_expand_lookup(const char *name, long index, void *data, struct error *err);

// The expanded text, owned by the caller; NULL when a look-up set err. Values are not expanded again. last: is this the
// last pass? Only then
// {{name}} becomes {name}.
char *placeholder_expand_text(
	const char *text, int last, placeholder_expand_lookup *lookup, void *data, struct error *err);

// Expands every string value inside a tree (not the keys), in place; the tree must hold no string as a whole. On error
// -1, and the tree is partly expanded.
int placeholder_expand_tree(json_t *tree, int last, placeholder_expand_lookup *lookup, void *data, struct error *err);

#endif
