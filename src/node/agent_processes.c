#include "node/agent_processes.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "node/node_dirs.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORD_MAX = 64 * 1024 };

static bool is_in(pid_t pid, const char *container)
{
	char path[64], name[64] = "";
	snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
	return readlink(path, name, sizeof name - 1) > 0 && strcmp(name, container) == 0;
}

// Is the record in its working directory its own?
static bool is_agent(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/cwd/agent.json", (int)pid);
	autofree char *text = fs_read(path, RECORD_MAX, NULL, NULL);
	autojson json_t *record = text ? json_loads(text, 0, NULL) : NULL;
	return json_integer_value(json_object_get(record, "pid")) == pid && node_dirs_alive(record);
}

size_t agent_processes_find(pid_t **pids)
{
	char container[64] = "";
	if (readlink("/proc/self/ns/mnt", container, sizeof container - 1) <= 0)
		*container = 0;
	size_t n = 0, size = 0;
	*pids = NULL;
	DIR *d = opendir("/proc");
	for (struct dirent *e; d && (e = readdir(d));) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
		if (pid <= 0 || pid == getpid() || !is_in(pid, container) || !is_agent(pid))
			continue;
		if (n == size) {
			size = size ? 2 * size : 8;
			*pids = mem_resize(*pids, size * sizeof **pids);
		}
		(*pids)[n++] = pid;
	}
	if (d)
		closedir(d);
	return n;
}

size_t agent_processes_find_below(pid_t **pids)
{
	autofree pid_t *tree = NULL;
	size_t count = proc_tree(getpid(), &tree), n = 0;
	*pids = mem_alloc((count + 1) * sizeof **pids);
	for (size_t i = 0; i < count; i++)
		if (tree[i] != getpid() && is_agent(tree[i]))
			(*pids)[n++] = tree[i];
	return n;
}
