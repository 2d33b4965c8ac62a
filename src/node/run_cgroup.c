#include "node/run_cgroup.h"

#include "base/cgroup.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARENT "muster"

char *run_cgroup_name(const char *label)
{
	return mem_printf(PARENT "/%s.%d.%llu", label, (int)getpid(), proc_started(getpid()));
}

bool run_cgroup_parse(const char *name, char **label, pid_t *pid, unsigned long long *started)
{
	const char *dot = strchr(name, '.');
	int number = 0, end = 0;
	if (!dot || dot == name || sscanf(dot, ".%d.%llu%n", &number, started, &end) != 2 || dot[end])
		return false;
	*pid = number;
	*label = mem_strndup(name, (size_t)(dot - name));
	return true;
}

void run_cgroup_each(void (*on_group)(const char *path, const char *label, void *data), void *data)
{
	autojson json_t *parents = cgroup_find(PARENT);
	size_t i, j;
	json_t *parent, *name;
	json_array_foreach (parents, i, parent) {
		autojson json_t *names = cgroup_below(json_string_value(parent));
		json_array_foreach (names, j, name) {
			autofree char *label = NULL;
			pid_t pid;
			unsigned long long started;
			autofree char *path = fs_join(json_string_value(parent), json_string_value(name));
			if (run_cgroup_parse(json_string_value(name), &label, &pid, &started))
				on_group(path, label, data);
		}
	}
}

int run_cgroup_remove(const char *path, double seconds, struct error *err)
{
	int rc = cgroup_remove(path, seconds, err);
	autofree char *parent = mem_strndup(path, (size_t)(strrchr(path, '/') - path));
	rmdir(parent); // fails while other runs have groups there
	return rc;
}
