#include "node/rank_cgroup.h"

#include "base/cgroup.h"
#include "base/mem.h"
#include "node/run_cgroup.h"

#include <stdlib.h>

static const double patience = 5; // seconds for what was killed to be gone

static struct cgroup_limits limits_of(const json_t *tree)
{
	return (struct cgroup_limits){.cpus = json_number_value(json_object_get(tree, "cpus")),
		.memory = (long long)json_number_value(json_object_get(tree, "memory"))};
}

json_t *rank_cgroup_where(const json_t *tree, const char *run, struct error *err)
{
	struct cgroup_limits limits = limits_of(tree);
	struct cgroup_place places[CGROUP_COUNT];
	if (!tree)
		return json_array();
	autofree char *name = run_cgroup_name(run);
	cgroup_survey(places);
	json_t *groups = cgroup_check(places, &limits, err) ? NULL : cgroup_where(places, &limits, name);
	cgroup_forget(places);
	return groups;
}

char *rank_cgroup_make(const json_t *tree, const char *run, size_t node, struct error *err)
{
	struct cgroup_limits limits = limits_of(tree);
	struct cgroup_place places[CGROUP_COUNT];
	autofree char *group = run_cgroup_name(run), *name = mem_printf("%s/node-%zu", group, node), *procs = NULL;
	cgroup_survey(places);
	int rc = cgroup_make(places, &limits, name, &procs, err);
	cgroup_forget(places);
	return rc ? NULL : steal(procs);
}

int rank_cgroup_remove(const json_t *groups, struct error *err)
{
	int rc = 0;
	size_t i;
	json_t *group;
	json_array_foreach (groups, i, group)
		rc |= run_cgroup_remove(json_string_value(group), patience, rc ? NULL : err);
	return rc ? -1 : 0;
}
