#include "job/executor_traits.h"

#include "base/did_you_mean.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

const struct executor_traits executor_traits_local = {.name = "local", .sees_controller_files = true};
const struct executor_traits executor_traits_ssh = {.name = "ssh", .takes_hosts = true};
// An engine on another machine does not see the controller's files: that is known only when it is asked.
const struct executor_traits executor_traits_docker = {.name = "docker",
	.nodes_are_containers = true,
	.builds_images = true,
	.mounts_volumes = true,
	.sees_controller_files = true};
// There is no registry that an image could be pushed to, and volumes are typed.
const struct executor_traits executor_traits_kubernetes = {
	.name = "kubernetes", .nodes_are_containers = true, .makes_pods = true};
// What the cluster's own executor can do is not known before the cluster is looked up: exec/attached checks it.
const struct executor_traits executor_traits_attached = {.name = "attached"};

const struct executor_traits *const executor_traits_all[] = {
	&executor_traits_local,
	&executor_traits_ssh,
	&executor_traits_docker,
	&executor_traits_kubernetes,
	NULL,
};

const struct executor_traits *executor_traits_find(const char *name, struct error *err)
{
	const char *names[countof(executor_traits_all)] = {0};
	autostr struct str known = {0};
	for (size_t i = 0; executor_traits_all[i]; i++) {
		names[i] = executor_traits_all[i]->name;
		if (strcmp(names[i], name) == 0)
			return executor_traits_all[i];
		str_printf(&known, "%s%s", i ? ", " : "", names[i]);
	}
	autofree char *hint = did_you_mean_text(" (", did_you_mean(name, names), ")");
	error_set(err, ERROR_USAGE, "unknown executor '%s', expected one of %s%s", name, known.text, hint);
	return NULL;
}

static bool takes_hosts(const struct executor_traits *traits)
{
	return traits->takes_hosts;
}

static bool has_containers(const struct executor_traits *traits)
{
	return traits->nodes_are_containers;
}

static bool builds_images(const struct executor_traits *traits)
{
	return traits->builds_images;
}

static bool mounts_volumes(const struct executor_traits *traits)
{
	return traits->mounts_volumes;
}

static bool makes_pods(const struct executor_traits *traits)
{
	return traits->makes_pods;
}

static char *list(bool (*is_one)(const struct executor_traits *traits))
{
	struct str text = {0};
	for (size_t i = 0; executor_traits_all[i]; i++)
		if (is_one(executor_traits_all[i]))
			str_printf(&text, "%s'executor: %s'", text.len ? " or " : "", executor_traits_all[i]->name);
	return str_steal(&text);
}

char *executor_traits_that_take_hosts(void)
{
	return list(takes_hosts);
}

char *executor_traits_with_containers(void)
{
	return list(has_containers);
}

char *executor_traits_that_build_images(void)
{
	return list(builds_images);
}

char *executor_traits_that_mount_volumes(void)
{
	return list(mounts_volumes);
}

char *executor_traits_that_make_pods(void)
{
	return list(makes_pods);
}
