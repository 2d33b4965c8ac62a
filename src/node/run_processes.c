#include "node/run_processes.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct list {
	pid_t *pids;
	size_t count;
};

static void add(struct list *list, pid_t pid)
{
	list->pids = mem_resize(list->pids, (list->count + 1) * sizeof *list->pids);
	list->pids[list->count++] = pid;
}

// One look; *seen: somebody was there at its beginning. The roots are asked before the others are listed: a root that
// forks and ends while the list is read leaves children that are not on it.
static size_t look(const char *word, const json_t *roots, pid_t **pids, bool *seen)
{
	struct list first = {0}, all = {0};
	autofree pid_t *found = NULL, *tree = NULL;
	size_t i;
	json_t *root;
	json_array_foreach (roots, i, root) {
		pid_t pid = (pid_t)json_integer_value(json_object_get(root, "pid"));
		if (pid != getpid() &&
			proc_alive(pid, (unsigned long long)json_integer_value(json_object_get(root, "started"))))
			add(&first, pid);
	}
	size_t count = proc_find(word, &found);
	for (i = 0; i < count; i++)
		add(&first, found[i]);
	count = first.count ? proc_trees(first.pids, first.count, &tree) : 0;
	for (i = 0; i < count; i++)
		if (tree[i] != getpid() && proc_started(tree[i]))
			add(&all, tree[i]);
	*seen = first.count > 0;
	free(first.pids);
	*pids = all.pids;
	return all.count;
}

// Who was seen and is gone a moment later may have left children that the look had passed by already: only a look that
// sees nobody from its beginning says that there is nobody.
size_t run_processes_find(const char *word, const json_t *roots, pid_t **pids)
{
	bool seen = true;
	size_t count = 0;
	*pids = NULL;
	while (seen && count == 0) {
		free(*pids);
		count = look(word, roots, pids, &seen);
	}
	return count;
}

static void signal_all(const pid_t *pids, size_t count, int sig)
{
	for (size_t i = 0; i < count; i++)
		kill(pids[i], sig);
}

// Stopped processes fork no more, so the list is whole once a look finds nobody new. What daemonises between two looks
// and has cleared its environment is the one thing that gets away here; a control group holds it.
static size_t stop_all(const char *word, const json_t *roots, pid_t **pids)
{
	size_t count = run_processes_find(word, roots, pids);
	for (size_t before = 0; count > before;) {
		signal_all(*pids, count, SIGSTOP);
		before = count;
		autofree pid_t *old = *pids;
		count = run_processes_find(word, roots, pids);
	}
	return count;
}

// Waits until pid is gone, and takes its exit status when it was the caller's child.
static void wait_gone(pid_t pid, double end)
{
	for (int wait = 1; proc_started(pid) && clock_mono() < end; wait = wait < 50 ? wait * 2 : 50)
		poll(NULL, 0, wait);
	waitpid(pid, NULL, WNOHANG);
}

int run_processes_kill(const char *word, const json_t *roots, double seconds, struct error *err)
{
	double end = clock_mono() + seconds;
	for (;;) {
		autofree pid_t *pids = NULL;
		size_t count = stop_all(word, roots, &pids);
		if (!count)
			return 0;
		if (clock_mono() > end) {
			autofree char *name = run_processes_name(pids[0]);
			return error_set(err, ERROR_SYSTEM, "process %d (%s) cannot be killed", (int)pids[0], name);
		}
		signal_all(pids, count, SIGKILL);
		for (size_t i = 0; i < count; i++)
			wait_gone(pids[i], end);
	}
}

char *run_processes_name(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	char *name = fs_read(path, 4096, NULL, NULL);
	if (!name)
		return mem_strdup("?");
	name[strcspn(name, "\n")] = 0;
	return name;
}
