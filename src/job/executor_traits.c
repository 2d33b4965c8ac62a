#include "job/executor_traits.h"

#include "base/did_you_mean.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

const struct executor_traits executor_traits_local = {.name = "local", .sees_controller_files = true};
const struct executor_traits executor_traits_ssh = {.name = "ssh", .takes_hosts = true};
// An engine on another machine does not see the controller's files: that is known only when it is asked.
const struct executor_traits executor_traits_docker = {
	.name = "docker", .nodes_are_containers = true, .sees_controller_files = true};
// What the cluster's own executor can do is not known before the cluster is looked up: exec/attached checks it.
const struct executor_traits executor_traits_attached = {.name = "attached"};

const struct executor_traits *const executor_traits_all[] = {
	&executor_traits_local,
	&executor_traits_ssh,
	&executor_traits_docker,
	NULL,
};

const struct executor_traits *executor_traits_find(const char *name, struct error *err)
{
	const char *names[countof(executor_traits_all)] = {0};
	autostr struct str list = {0};
	for (size_t i = 0; executor_traits_all[i]; i++) {
		names[i] = executor_traits_all[i]->name;
		if (!strcmp(names[i], name))
			return executor_traits_all[i];
		str_printf(&list, "%s%s", i ? ", " : "", names[i]);
	}
	autofree char *hint = did_you_mean_text(" (", did_you_mean(name, names), ")");
	error_set(err, ERROR_USAGE, "unknown executor '%s', expected one of %s%s", name, list.text, hint);
	return NULL;
}

char *executor_traits_that_take_hosts(void)
{
	struct str list = {0};
	for (size_t i = 0; executor_traits_all[i]; i++)
		if (executor_traits_all[i]->takes_hosts)
			str_printf(&list, "%s'executor: %s'", list.len ? " or " : "", executor_traits_all[i]->name);
	return list.text;
}
