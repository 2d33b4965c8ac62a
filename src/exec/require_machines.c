#include "exec/require_machines.h"

#include "job/plan.h"

int require_machines(const json_t *plan, const char *executor, bool same_files, struct error *err)
{
	const char *key = plan_build_json(plan) ? "build" : plan_volumes(plan) ? "volumes" : NULL;
	if (key)
		return error_set(err, ERROR_USAGE, "the %s executor has no containers for 'cluster.%s'; docker has",
			executor, key);
	for (size_t i = 0; i < plan_nodes(plan); i++)
		if (plan_node(plan, i).image)
			return error_set(err, ERROR_USAGE,
				"the %s executor has no containers for the image '%s'; docker has", executor,
				plan_node(plan, i).image);
	for (size_t i = 0; !same_files && i < plan_inputs(plan); i++)
		if (plan_input(plan, i).kind == PLAN_INPUT_LIVE)
			return error_set(err, ERROR_USAGE,
				"the input '%s' is live, and nodes of the %s executor do not see this machine's files: "
				"leave 'live' out, and it is copied",
				plan_input(plan, i).name, executor);
	return 0;
}
