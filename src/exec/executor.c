#include "exec/executor.h"

#include "base/did_you_mean.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/plan.h"

#include <string.h>
#include <sys/resource.h>

enum { SPARE_FILES = 64 }; // descriptors the controller needs beside those for each node

extern const struct executor executor_local;
extern const struct executor executor_docker;
extern const struct executor executor_ssh;

const struct executor *const executors[] = {
	&executor_local,
	&executor_ssh,
	&executor_docker,
	NULL,
};

int executor_check_files(const json_t *plan, size_t each, struct error *err)
{
	size_t nodes = plan_nodes(plan), files = SPARE_FILES + each * nodes;
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) || files <= limit.rlim_cur)
		return 0;
	return error_set(err, ERROR_SYSTEM,
		"%zu nodes need %zu open files, the limit is %llu: raise it with `ulimit -n`", nodes, files,
		(unsigned long long)limit.rlim_cur);
}

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
	autofree char *hint = did_you_mean_text(" (", did_you_mean(name, names), ")");
	error_set(err, ERROR_USAGE, "unknown executor '%s', expected one of %s%s", name, list.text, hint);
	return NULL;
}
