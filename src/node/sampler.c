#include "node/sampler.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "wire/event.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEPTH_MAX = 64 };

// Counters of one rank's processes together.
struct counters {
	size_t rank;
	double cpu; // seconds
	double memory, read, write;
};

struct sampler {
	double at;
	struct counters *before;
	size_t nbefore;
	double rx, tx;
};

struct sampler *sampler_new(void)
{
	return mem_alloc(sizeof(struct sampler));
}

void sampler_free(struct sampler *sampler)
{
	if (!sampler)
		return;
	free(sampler->before);
	free(sampler);
}

static char *read_proc(pid_t pid, const char *name)
{
	char path[128];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	return fs_read(path, 1 << 20, NULL, NULL);
}

static void add_cpu_memory(struct counters *c, pid_t pid)
{
	autofree char *stat = read_proc(pid, "stat");
	char *rest = stat ? strrchr(stat, ')') : NULL;
	unsigned long utime, stime;
	long cutime, cstime, rss;
	if (!rest || sscanf(rest + 1,
			     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld %*d %*d %*d %*d %*u %*u %ld",
			     &utime, &stime, &cutime, &cstime, &rss) != 5)
		return;
	c->cpu += (double)(utime + stime) / (double)sysconf(_SC_CLK_TCK) +
		  (double)(cutime + cstime) / (double)sysconf(_SC_CLK_TCK);
	c->memory += (double)rss * (double)sysconf(_SC_PAGESIZE);
}

static double field(const char *text, const char *name)
{
	const char *at = text ? strstr(text, name) : NULL;
	return at ? strtod(at + strlen(name), NULL) : 0;
}

static void add_disk(struct counters *c, pid_t pid)
{
	autofree char *io = read_proc(pid, "io");
	c->read += field(io, "\nread_bytes: ");
	c->write += field(io, "\nwrite_bytes: ");
}

// Adds a process and its descendants. Asking each thread for its children is much cheaper than reading all of /proc,
// which on a machine with many nodes every agent would do every second; that it may miss a child just born does not
// matter here. False when the kernel cannot say.
static bool add_tree(struct counters *c, pid_t pid, int depth)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);
	if (!dir)
		return true; // it has ended
	bool told = false;
	add_cpu_memory(c, pid);
	add_disk(c, pid);
	for (struct dirent *e; (e = readdir(dir));) {
		if (*e->d_name == '.')
			continue;
		snprintf(path, sizeof path, "task/%.20s/children", e->d_name);
		autofree char *children = read_proc(pid, path);
		told = told || children;
		for (char *at = children, *end; at && depth < DEPTH_MAX; at = end) {
			pid_t child = (pid_t)strtol(at, &end, 10);
			if (end == at)
				break;
			add_tree(c, child, depth + 1);
		}
	}
	closedir(dir);
	return told;
}

static struct counters count(const struct sample_rank *rank)
{
	struct counters c = {.rank = rank->rank};
	if (add_tree(&c, rank->pid, 0))
		return c;
	c = (struct counters){.rank = rank->rank};
	autofree pid_t *pids = NULL;
	size_t n = proc_tree(rank->pid, &pids);
	for (size_t i = 0; i < n; i++) {
		add_cpu_memory(&c, pids[i]);
		add_disk(&c, pids[i]);
	}
	return c;
}

// Bytes of all interfaces; for nodes on one machine that is the loopback's traffic too, as it is their network.
static void count_network(double *rx, double *tx)
{
	autofree char *text = fs_read("/proc/net/dev", 1 << 20, NULL, NULL);
	*rx = *tx = 0;
	for (char *line = text ? strtok(text, "\n") : NULL; line; line = strtok(NULL, "\n")) {
		char *colon = strchr(line, ':');
		double r, t;
		if (colon && sscanf(colon + 1, " %lf %*f %*f %*f %*f %*f %*f %*f %lf", &r, &t) == 2) {
			*rx += r;
			*tx += t;
		}
	}
}

static const struct counters *find_before(const struct sampler *s, size_t rank)
{
	for (size_t i = 0; i < s->nbefore; i++)
		if (s->before[i].rank == rank)
			return &s->before[i];
	return NULL;
}

// A rate cannot be negative: a process that has ended takes its counters with it.
static double rate(double now, double before, double seconds)
{
	return now > before && seconds > 0 ? (now - before) / seconds : 0;
}

static json_t *compare(
	const struct sampler *s, const struct counters *now, size_t n, double seconds, double rx, double tx)
{
	json_t *ranks = json_array();
	struct counters sum = {0};
	for (size_t i = 0; i < n; i++) {
		const struct counters *b = find_before(s, now[i].rank);
		double cpu = b ? rate(now[i].cpu, b->cpu, seconds) : 0;
		sum.cpu += cpu;
		sum.memory += now[i].memory;
		sum.read += b ? rate(now[i].read, b->read, seconds) : 0;
		sum.write += b ? rate(now[i].write, b->write, seconds) : 0;
		json_array_append_new(ranks,
			mem_json("{s:i, s:f, s:f}", "rank", (int)now[i].rank, "cpu", cpu, "memory", now[i].memory));
	}
	return event_make("sample", "s:f, s:f, s:f, s:f, s:f, s:f, s:o", "cpu", sum.cpu, "memory", sum.memory, "rx",
		rate(rx, s->rx, seconds), "tx", rate(tx, s->tx, seconds), "read", sum.read, "write", sum.write, "ranks",
		ranks);
}

json_t *sampler_take(struct sampler *sampler, const struct sample_rank *ranks, size_t n)
{
	struct counters *now = mem_alloc(n * sizeof *now);
	double at = clock_mono(), rx, tx;
	for (size_t i = 0; i < n; i++)
		now[i] = count(&ranks[i]);
	count_network(&rx, &tx);
	json_t *event =
		sampler->at > 0 && proc_started(getpid()) ? compare(sampler, now, n, at - sampler->at, rx, tx) : NULL;
	free(sampler->before);
	sampler->before = now;
	sampler->nbefore = n;
	sampler->at = at;
	sampler->rx = rx;
	sampler->tx = tx;
	return event;
}
