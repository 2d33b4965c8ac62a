#include "exec/executor.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

extern const struct executor executor_docker;
extern const struct executor executor_ssh;

const struct executor *const executors[] = {
	&executor_local,
	&executor_ssh,
	&executor_docker,
	NULL,
};

const struct executor *executor_find(const char *name, struct error *err)
{
	const char *names[countof(executors)] = {0};
	autostr struct str list = {0};
	for (size_t i = 0; executors[i]; i++) {
		if (!strcmp(executors[i]->name, name))
			return executors[i];
		names[i] = executors[i]->name;
		str_printf(&list, "%s%s", i ? ", " : "", names[i]);
	}
	const char *near = str_nearest(name, names);
	if (near)
		error_set(err, ERROR_USAGE, "unknown executor '%s', expected one of: %s; did you mean '%s'?", name, list.text, near);
	else
		error_set(err, ERROR_USAGE, "unknown executor '%s', expected one of: %s", name, list.text);
	return NULL;
}
