// The placeholders that the plan knows the values of, filled in the texts of a job file: a rank's or a setup step's.
// What only a running node knows stays a placeholder.
#ifndef JOB_PLAN_PLACEHOLDERS_H
#define JOB_PLAN_PLACEHOLDERS_H

#include "base/error.h"
#include "job/field.h"
#include "job/launch_env.h"
#include "job/yaml.h"

#include <jansson.h>
#include <stdbool.h>

// Whose placeholders are filled: a rank's, or a setup step's.
struct plan_placeholders {
	const struct launch *launch;
	const struct launch_role *role;
	long rank;   // -1: a setup step, of any node
	bool *ports; // set when some text holds {port...}
	struct error *err;
};

// All return NULL or -1 and set the scope's error, at the place of the node, when a text asks for what there is not.
json_t *plan_placeholders_text(
	const struct plan_placeholders *scope, const char *text, const struct yaml *node); // owned by the caller
json_t *plan_placeholders_argv(const struct plan_placeholders *scope, const struct field_command *command,
	const struct yaml *node); // likewise
int plan_placeholders_env(const struct plan_placeholders *scope, json_t *env, const struct field_env *from,
	const struct yaml *node); // replaces variables of env

#endif
