// Placeholders: the table of their names, and the search for them in texts: {name} and {name[3]}.
// It knows no values: plan_placeholders fills what the plan knows, agent/node.c what only a running node knows.
//
// What a look-up does not know stays as it is, so a JSON object or an awk program in a command survives. So does
// ${name}, which is the shell's. {{name}} is {name}, unexpanded.
#ifndef JOB_PLACEHOLDERS_H
#define JOB_PLACEHOLDERS_H

#include "base/error.h"

#include <jansson.h>

enum placeholder_id {
	PLACEHOLDER_RANK,
	PLACEHOLDER_SIZE,
	PLACEHOLDER_LOCAL_RANK,
	PLACEHOLDER_NODE,
	PLACEHOLDER_NODES,
	PLACEHOLDER_ROLE,
	PLACEHOLDER_INDEX,
	PLACEHOLDER_DATA,
	PLACEHOLDER_OUT,
	PLACEHOLDER_ADDR,
	PLACEHOLDER_PORT,
	PLACEHOLDER_HOSTS,
	PLACEHOLDER_HOSTFILE,
	PLACEHOLDER_COUNT,
};

struct placeholder {
	enum placeholder_id id;
	const char *name;
	enum {
		PLACEHOLDER_OF_PLAN, // plan_make fills it, or plan_slice in a setup step
		PLACEHOLDER_OF_NODE, // it is still in the plan: the agent fills it
	} filled_by;
	char index;           // what may stand in brackets, {addr[K]}; 0: nothing may
	const char *in_setup; // how it may be written in a setup step: "yes", "no", "`{port[R]}`"
	const char *help;     // its value, for doc/jobfile.md
};

// One row for each, by id. A new placeholder is a row, and a value in plan_placeholders.c or in agent/node.c.
extern const struct placeholder placeholders[PLACEHOLDER_COUNT];

const struct placeholder *placeholders_find(const char *name); // NULL: there is none of that name

// Returns the value of name ("rank", "addr") with its index (-1 when there is none), owned by the caller; NULL when the
// name is not known here. An index out of range sets err->code.
typedef char *placeholders_lookup(const char *name, long index, void *data, struct error *err);

// The expanded text, owned by the caller; NULL when a look-up set err. Values are not expanded again. last: is this the
// last pass? Only then {{name}} becomes {name}.
char *placeholders_expand_text(const char *text, int last, placeholders_lookup *lookup, void *data, struct error *err);

// Expands every string value inside a tree (not the keys), in place; the tree must hold no string as a whole. On error
// -1, and the tree is partly expanded.
int placeholders_expand_tree(json_t *tree, int last, placeholders_lookup *lookup, void *data, struct error *err);

#endif
