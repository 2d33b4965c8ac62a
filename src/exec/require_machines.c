#include "exec/require_machines.h"

#include "job/plan.h"

int require_machines_no_live_inputs(const json_t *plan, const char *executor, struct error *err)
{
	for (size_t i = 0; i < plan_inputs(plan); i++)
		if (plan_input(plan, i).kind == PLAN_INPUT_LIVE)
			return error_set(err, ERROR_USAGE,
				"the input '%s' is live, and nodes of the %s executor do not see this machine's files; "
				"without 'live' it is copied",
				plan_input(plan, i).name, executor);
	return 0;
}

int require_machines(const json_t *plan, const struct executor_traits *executor, struct error *err)
{
	const char *key = plan_build(plan).context ? "build" : plan_volumes(plan) ? "volumes" : NULL;
	if (key)
		return error_set(err, ERROR_USAGE,
			"the %s executor has no containers, found 'cluster.%s'; use the docker executor",
			executor->name, key);
	for (size_t i = 0; i < plan_nodes(plan); i++)
		if (plan_node(plan, i).image)
			return error_set(err, ERROR_USAGE,
				"the %s executor has no containers, found the image '%s'; use the docker executor",
				executor->name, plan_node(plan, i).image);
	return executor->sees_controller_files ? 0 : require_machines_no_live_inputs(plan, executor->name, err);
}
