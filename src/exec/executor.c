#include "exec/executor.h"

#include "base/mem.h"
#include "job/plan.h"

#include <assert.h>
#include <sys/resource.h>

enum { SPARE_FILES = 64 }; // descriptors the controller needs beside those for each node

extern const struct executor executor_local;
extern const struct executor executor_docker;
extern const struct executor executor_ssh;
extern const struct executor executor_kubernetes;

const struct executor *const executors[] = {
	&executor_local,
	&executor_ssh,
	&executor_docker,
	&executor_kubernetes,
	NULL,
};

char *executor_loopback(const json_t *plan, struct error *err)
{
	return mem_strdup("127.0.0.1");
}

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

bool executor_is_complete(const struct executor *e)
{
	return e->traits && e->check && e->address && e->up && e->down && e->left;
}

void executor_init(void)
{
	for (size_t i = 0; executors[i]; i++)
		assert(executor_is_complete(executors[i]));
	for (size_t i = 0; executor_traits_all[i]; i++)
		assert(executor_find(executor_traits_all[i]->name, NULL));
}

const struct executor *executor_find(const char *name, struct error *err)
{
	const struct executor_traits *traits = executor_traits_find(name, err);
	size_t i = 0;
	while (traits && executors[i] && executors[i]->traits != traits)
		i++;
	return traits ? executors[i] : NULL;
}
