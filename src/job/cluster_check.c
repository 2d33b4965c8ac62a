#include "job/cluster_check.h"

#include "base/mem.h"
#include "job/executor_traits.h"
#include "job/job.h"

#include <stdbool.h>
#include <stdlib.h>

static const struct yaml *place_of(const struct job *job, const char *key)
{
	const struct yaml *cluster = job->cluster.place.node, *node = cluster ? yaml_find(cluster, key) : NULL;
	return node ? node : cluster ? cluster : job->tree;
}

// Each node needs an image: its role's, or the cluster's.
static int check_images(const struct job *job, struct error *err)
{
	const struct job_cluster *cluster = &job->cluster;
	const struct job_role *roles = cluster->roles.items;
	if (cluster->image || cluster->build.context)
		return 0;
	if (!cluster->roles.count)
		return yaml_error(place_of(job, "executor"), err,
			"found no image for 'executor: %s', expected 'cluster.image' or 'cluster.build'",
			cluster->executor);
	for (size_t i = 0; i < cluster->roles.count; i++)
		if (!roles[i].image)
			return yaml_error(roles[i].place.node, err,
				"found no image for the role '%s' with 'executor: %s', expected 'image' here, "
				"'cluster.image' or 'cluster.build'",
				roles[i].place.name, cluster->executor);
	return 0;
}

static int refuse_container(const struct job *job, const struct yaml *node, const char *path, struct error *err)
{
	autofree char *expected = executor_traits_with_containers();
	return yaml_error(node, err, "found '%s' with 'executor: %s', expected it with %s only", path,
		job->cluster.executor, expected);
}

static int check_no_containers(const struct job *job, struct error *err)
{
	const struct job_cluster *cluster = &job->cluster;
	const struct job_role *roles = cluster->roles.items;
	const char *key = cluster->image           ? "image"
			  : cluster->build.context ? "build"
			  : cluster->volumes.count ? "volumes"
						   : NULL;
	autofree char *path = key ? mem_printf("cluster.%s", key) : NULL;
	if (key)
		return refuse_container(job, place_of(job, key), path, err);
	for (size_t i = 0; i < cluster->roles.count; i++)
		if (roles[i].image) {
			autofree char *of_role = mem_printf("cluster.roles.%s.image", roles[i].place.name);
			return refuse_container(job, yaml_find(roles[i].place.node, "image"), of_role, err);
		}
	return 0;
}

static int check_live_inputs(const struct job *job, struct error *err)
{
	const struct job_input *inputs = job->inputs.items;
	for (size_t i = 0; i < job->inputs.count; i++)
		if (inputs[i].live)
			return yaml_error(yaml_find(inputs[i].place.node, "live"), err,
				"found 'live' with 'executor: %s', expected no 'live': the nodes do not see this "
				"machine's files, and the input is copied",
				job->cluster.executor);
	return 0;
}

int cluster_check(const struct job *job, struct error *err)
{
	const struct executor_traits *traits = job->cluster.traits;
	if (job->on)
		return 0;
	if (traits->takes_hosts && !job->cluster.list)
		return yaml_error(place_of(job, "executor"), err,
			"found no hosts for 'executor: %s', expected 'cluster.hosts' or 'cluster.inventory'",
			traits->name);
	if ((traits->nodes_are_containers ? check_images : check_no_containers)(job, err))
		return -1;
	return traits->sees_controller_files ? 0 : check_live_inputs(job, err);
}
