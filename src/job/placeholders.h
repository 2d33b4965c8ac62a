// Scopes: whose placeholders are filled in the texts of a job file, a rank's or a setup step's.
// What only a live node knows stays a placeholder.
#ifndef JOB_PLACEHOLDERS_H
#define JOB_PLACEHOLDERS_H

#include "base/error.h"
#include "job/field.h"
#include "job/launch_env.h"
#include "job/yaml.h"

#include <jansson.h>
#include <stdbool.h>

struct placeholders {
	const struct launch *launch;
	const struct launch_role *role;
	long rank;   // -1: a setup command, of any node
	bool *ports; // set when some text holds {port...}
	struct error *err;
};

// All return NULL or -1 and set the scope's error, at the place of the node, when a text asks for what there is not.
json_t *placeholders_text(
	const struct placeholders *scope, const char *text, const struct yaml *node); // expanded; owned by the caller
json_t *placeholders_argv(
	const struct placeholders *scope, const struct field_command *command, const struct yaml *node); // likewise
int placeholders_env(const struct placeholders *scope, json_t *env, const struct field_env *from,
	const struct yaml *node); // over what is there

#endif
