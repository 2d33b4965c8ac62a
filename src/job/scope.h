// Scopes: whose placeholders are filled in the texts of a job file, a rank's or a setup step's.
// What only a live node knows stays a placeholder.
#ifndef JOB_SCOPE_H
#define JOB_SCOPE_H

#include "base/error.h"
#include "job/field.h"
#include "job/launch.h"
#include "job/yaml.h"

#include <jansson.h>
#include <stdbool.h>

struct scope {
	const struct launch *launch;
	const struct launch_role *role;
	long rank;   // -1: a setup command, of any node
	bool *ports; // set when some text holds {port...}
	struct error *err;
};

// All return NULL or -1 and set the scope's error, at the place of the node, when a text asks for what there is not.
json_t *scope_text(
	const struct scope *scope, const char *text, const struct yaml *node); // expanded; owned by the caller
json_t *scope_argv(const struct scope *scope, const struct field_command *command, const struct yaml *node); // likewise
int scope_env(const struct scope *scope, json_t *env, const struct field_env *from,
	const struct yaml *node); // over what is there

#endif
