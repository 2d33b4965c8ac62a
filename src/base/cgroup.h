// Control groups, version 1 and 2: where this process may make them, limits, killing and removing them.
// It knows no runs and no nodes: a group is a path.
#ifndef BASE_CGROUP_H
#define BASE_CGROUP_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
	CGROUP_CPU,
	CGROUP_MEMORY,
	CGROUP_PIDS,
	CGROUP_COUNT,
};

// Where groups with one controller can be made by this process: below its own group where the controller has a version
// 1 hierarchy, so that whatever limits the caller limits them too; below the nearest group that may hand the controller
// out in version 2.
struct cgroup_place {
	const char *controller; // "cpu", "memory", "pids"
	bool v2;
	char *dir;     // absolute; NULL when there is no such place, and then
	char why[256]; // says what is missing
};

struct cgroup_limits {
	double cpus;      // cores; 0 is no limit; at least 0.001
	long long memory; // bytes, swap included where the kernel counts it; 0 is no limit
};

// Fills places[CGROUP_COUNT] for this process; touches nothing. The caller ends it with cgroup_forget.
void cgroup_survey(struct cgroup_place *places);

// The same from the texts of /proc/self/mountinfo and /proc/self/cgroup, the mount points taken below root ("" is the
// machine's own).
void cgroup_survey_from(struct cgroup_place *places, const char *mounts, const char *own, const char *root);
void cgroup_forget(struct cgroup_place *places);

// Can these limits be set there? Touches nothing; err says which is missing and why.
int cgroup_check(const struct cgroup_place *places, const struct cgroup_limits *limits, struct error *err);

// The directories that name ("muster/x") would be in the hierarchies these limits need: an array of absolute paths,
// owned by the caller.
json_t *cgroup_where(const struct cgroup_place *places, const struct cgroup_limits *limits, const char *name);

// Makes the group name (with parents) in each hierarchy these limits need and sets them; what exists is set again.
// *procs gets the cgroup.procs files to write a pid to, separated by ':', owned by the caller. What was made when it
// fails is left for cgroup_remove.
int cgroup_make(const struct cgroup_place *places, const struct cgroup_limits *limits, const char *name, char **procs,
	struct error *err);

// How many processes were killed for want of memory in the groups of these cgroup.procs files (as cgroup_make gives
// them).
long cgroup_oom_kills(const char *procs);

// The directories name has below this process's own groups and the groups above them, in any hierarchy: an array of
// absolute paths.
json_t *cgroup_find(const char *name);

// The names of the groups directly below dir: an array, owned by the caller.
json_t *cgroup_below(const char *dir);

// Kills every process in the group at dir and below (never the caller), waits for them, removes the groups. seconds
// bounds the whole. A directory that is not there is fine.
int cgroup_remove(const char *dir, double seconds, struct error *err);

#endif
