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
	const char *build = cluster->traits->builds_images ? " or 'cluster.build'" : "";
	if (cluster->image || cluster->build.context)
		return 0;
	if (!cluster->roles.count)
		return yaml_error(place_of(job, "executor"), err,
			"found no image for 'executor: %s', expected 'cluster.image'%s", cluster->executor, build);
	for (size_t i = 0; i < cluster->roles.count; i++)
		if (!roles[i].image)
			return yaml_error(roles[i].place.node, err,
				"found no image for the role '%s' with 'executor: %s', expected 'image' here%s "
				"'cluster.image'%s",
				roles[i].place.name, cluster->executor, *build ? "," : " or", build);
	return 0;
}

// A key that only some executors take.
struct special {
	const char *key;
	bool given, taken;
	char *(*executors)(void);
	const char *in_pods; // what stands for it where the nodes are pods
};

static int refuse(const struct job *job, const struct yaml *node, const char *path, const struct special *special,
	struct error *err)
{
	autofree char *expected = special->executors();
	bool pods = special->in_pods && job->cluster.traits->makes_pods;
	return yaml_error(node, err, "found '%s' with 'executor: %s', expected it with %s only%s%s", path,
		job->cluster.executor, expected, pods ? "; here " : "", pods ? special->in_pods : "");
}

static int check_special(const struct job *job, struct error *err)
{
	const struct job_cluster *c = &job->cluster;
	const struct job_role *roles = c->roles.items;
	const struct executor_traits *traits = c->traits;
	const struct special keys[] = {
		{"image", c->image, traits->nodes_are_containers, executor_traits_with_containers, NULL},
		{"build", c->build.context, traits->builds_images, executor_traits_that_build_images,
			"'cluster.image' names an image that is in a registry"},
		{"volumes", c->volumes.count > 0, traits->mounts_volumes, executor_traits_that_mount_volumes,
			"'cluster.kubernetes.volumes' mounts volumes"},
		{"kubernetes", c->kubernetes.place.node, traits->makes_pods, executor_traits_that_make_pods, NULL},
	};
	for (size_t i = 0; i < countof(keys); i++) {
		autofree char *path = mem_printf("cluster.%s", keys[i].key);
		if (keys[i].given && !keys[i].taken)
			return refuse(job, place_of(job, keys[i].key), path, &keys[i], err);
	}
	const struct special resources = {"resources", false, traits->makes_pods, executor_traits_that_make_pods, NULL};
	for (size_t i = 0; i < c->roles.count; i++) {
		const struct special *of_role = roles[i].image && !keys[0].taken               ? &keys[0]
						: roles[i].resources.count && !resources.taken ? &resources
											       : NULL;
		autofree char *path =
			of_role ? mem_printf("cluster.roles.%s.%s", roles[i].place.name, of_role->key) : NULL;
		if (of_role)
			return refuse(job, yaml_find(roles[i].place.node, of_role->key), path, of_role, err);
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
	if (check_special(job, err) || (traits->nodes_are_containers && check_images(job, err)))
		return -1;
	return traits->sees_controller_files ? 0 : check_live_inputs(job, err);
}
