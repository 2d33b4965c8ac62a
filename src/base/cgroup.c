#include "base/cgroup.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX (4u << 20)

static const char *const controllers[CGROUP_COUNT] = {"cpu", "memory", "pids"};

// One hierarchy this process is in: its mount point, this process's group there, and what kind it is.
struct hierarchy {
	char *mount; // absolute path of the mount point
	char *own;   // absolute path of this process's own group
	bool v2;
};

// Is word one of the words of list, separated by any of seps?
static bool has_word(const char *list, const char *word, const char *seps)
{
	size_t len = strlen(word);
	for (const char *at = list; *at;) {
		size_t n = strcspn(at, seps);
		if (n == len && memcmp(at, word, len) == 0)
			return true;
		at += n;
		at += strspn(at, seps);
	}
	return false;
}

// Mount points are written with \040 and the like for blanks.
static void unescape(char *text)
{
	char *to = text;
	for (char *at = text; *at; to++) {
		if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' && at[3] >= '0' &&
			at[3] <= '7') {
			*to = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
			at += 4;
		} else {
			*to = *at++;
		}
	}
	*to = 0;
}

// This process's path in the hierarchy with this controller (NULL: version 2), from the lines "9:cpu,cpuacct:/path".
// Owned by the caller.
static char *own_path(const char *text, const char *controller)
{
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		autofree char *copy = mem_strndup(line, len);
		char *names = strchr(copy, ':');
		char *path = names ? strchr(names + 1, ':') : NULL;
		if (path) {
			*path++ = 0;
			names++;
			if (controller ? has_word(names, controller, ",") : !*names && str_starts(copy, "0:"))
				return mem_strdup(path);
		}
		line += len;
		line += *line == '\n';
	}
	return NULL;
}

// Reads one line of mountinfo: "31 23 0:28 ROOT MOUNT OPTIONS [TAGS...] - TYPE SOURCE SUPER". Fills the words; text is
// cut up.
static bool mount_words(char *text, char **root, char **mount, char **type, char **super)
{
	char *left[6] = {0};
	char *dash = strstr(text, " - ");
	if (!dash)
		return false;
	*dash = 0;
	char *save = NULL;
	char *word = strtok_r(text, " ", &save);
	for (size_t i = 0; i < countof(left) && word; i++, word = strtok_r(NULL, " ", &save))
		left[i] = word;
	*type = strtok_r(dash + 3, " ", &save);
	char *source = strtok_r(NULL, " ", &save);
	*super = strtok_r(NULL, " ", &save);
	*root = left[3];
	*mount = left[4];
	if (!left[4] || !source || !*super)
		return false;
	unescape(*root);
	unescape(*mount);
	return true;
}

// Where path is below the mount of the subtree at root; NULL when it is not visible there. Owned by the caller.
static char *below_mount(const char *prefix, const char *root, const char *mount, const char *path)
{
	size_t len = strcmp(root, "/") ? strlen(root) : 0;
	if (strncmp(path, root, len) != 0 || (path[len] && path[len] != '/') || strstr(path, "/.."))
		return NULL;
	const char *rest = strcmp(path + len, "/") ? path + len : "";
	return mem_printf("%s%s%s", prefix, mount, rest);
}

static void hierarchy_fini(struct hierarchy *h)
{
	free(h->mount);
	free(h->own);
	*h = (struct hierarchy){0};
}

// The hierarchy with this controller in version 1, or the one of version 2 (controller NULL).
static bool hierarchy_find(
	struct hierarchy *h, const char *controller, const char *mounts, const char *own, const char *prefix)
{
	autofree char *path = own_path(own, controller);
	if (!path)
		return false;
	for (const char *line = mounts; *line;) {
		size_t len = strcspn(line, "\n");
		autofree char *copy = mem_strndup(line, len);
		char *root = NULL, *mount = NULL, *type = NULL, *super = NULL;
		if (mount_words(copy, &root, &mount, &type, &super) &&
			(controller ? strcmp(type, "cgroup") == 0 && has_word(super, controller, ",")
				    : strcmp(type, "cgroup2") == 0)) {
			char *dir = below_mount(prefix, root, mount, path);
			if (dir) {
				*h = (struct hierarchy){mem_printf("%s%s", prefix, mount), dir, !controller};
				return true;
			}
		}
		line += len;
		line += *line == '\n';
	}
	return false;
}

// One small file of a group, "" when it cannot be read. Owned by the caller.
static char *read_file(const char *dir, const char *name)
{
	autofree char *path = fs_join(dir, name);
	char *text = fs_read(path, TEXT_MAX, NULL, NULL);
	return text ? text : mem_strdup("");
}

// Opened without O_CREAT: a group has the files the kernel gave it.
static int write_file(const char *dir, const char *name, const char *text, struct error *err)
{
	autofree char *path = fs_join(dir, name);
	autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, "cannot open '%s'", path);
	if (write(fd, text, strlen(text)) < 0)
		return error_errno(err, "cannot write '%s' to '%s'", text, path);
	return 0;
}

static bool may_write(const char *dir, const char *name)
{
	autofree char *path = fs_join(dir, name);
	return !access(path, W_OK);
}

static bool place_v1(struct cgroup_place *place, const struct hierarchy *h)
{
	if (access(h->own, W_OK)) {
		snprintf(place->why, sizeof place->why, "'%.150s' is not writable: %s", h->own, strerror(errno));
		return false;
	}
	place->dir = mem_strdup(h->own);
	return true;
}

// Cuts the last part off path unless that leads above top.
static bool go_up(char *path, const char *top)
{
	char *slash = strrchr(path, '/');
	if (strlen(path) <= strlen(top) || !slash)
		return false;
	*slash = 0;
	return true;
}

// Version 2: groups below dir get a controller only when dir hands it out, which it may do when it holds no process (or
// is the real root).
static bool place_v2(struct cgroup_place *place, const struct hierarchy *h)
{
	autofree char *dir = mem_strdup(h->own);
	snprintf(place->why, sizeof place->why, "'%.150s' does not have the controller %s", dir, place->controller);
	do {
		autofree char *has = read_file(dir, "cgroup.controllers");
		autofree char *gives = read_file(dir, "cgroup.subtree_control");
		autofree char *procs = read_file(dir, "cgroup.procs");
		autofree char *type = read_file(dir, "cgroup.type");
		if (!has_word(has, place->controller, " \n"))
			continue;
		if (access(dir, W_OK) || !may_write(dir, "cgroup.procs") || !may_write(dir, "cgroup.subtree_control")) {
			snprintf(place->why, sizeof place->why, "'%.150s' is not writable: %s", dir, strerror(errno));
			return false;
		}
		// Only the real root has no cgroup.type.
		if (has_word(gives, place->controller, " \n") || !*procs || !*type) {
			place->dir = steal(dir);
			place->why[0] = 0;
			return true;
		}
		snprintf(place->why, sizeof place->why, "'%.150s' holds processes and therefore cannot delegate %s",
			dir, place->controller);
	} while (go_up(dir, h->mount));
	return false;
}

void cgroup_survey_from(struct cgroup_place *places, const char *mounts, const char *own, const char *root)
{
	for (size_t i = 0; i < CGROUP_COUNT; i++) {
		struct cgroup_place *place = &places[i];
		*place = (struct cgroup_place){.controller = controllers[i]};
		snprintf(place->why, sizeof place->why, "no control group hierarchy with the controller %s is mounted",
			place->controller);
		struct hierarchy h = {0};
		if (hierarchy_find(&h, place->controller, mounts, own, root)) {
			place_v1(place, &h);
		} else if (hierarchy_find(&h, NULL, mounts, own, root)) {
			place->v2 = true;
			place_v2(place, &h);
		}
		// A ':' separates the files of cgroup_make.
		if (place->dir && strchr(place->dir, ':')) {
			snprintf(place->why, sizeof place->why, "'%.150s' has a ':' in its path", place->dir);
			free(steal(place->dir));
		}
		hierarchy_fini(&h);
	}
}

void cgroup_survey(struct cgroup_place *places)
{
	autofree char *mounts = read_file("/proc/self", "mountinfo");
	autofree char *own = read_file("/proc/self", "cgroup");
	cgroup_survey_from(places, mounts, own, "");
}

void cgroup_forget(struct cgroup_place *places)
{
	for (size_t i = 0; i < CGROUP_COUNT; i++)
		free(steal(places[i].dir));
}

static bool wanted(const struct cgroup_limits *limits, size_t which)
{
	return which == CGROUP_CPU ? limits->cpus > 0 : which == CGROUP_MEMORY ? limits->memory > 0 : false;
}

int cgroup_check(const struct cgroup_place *places, const struct cgroup_limits *limits, struct error *err)
{
	if (limits->cpus > 0 && limits->cpus < 0.001)
		return error_set(
			err, ERROR_USAGE, "a limit of %g cpus is too small, expected at least 0.001", limits->cpus);
	for (size_t i = 0; i < CGROUP_COUNT; i++)
		if (wanted(limits, i) && !places[i].dir)
			return error_set(err, ERROR_SYSTEM, "a %s limit cannot be set on this machine: %s",
				places[i].controller, places[i].why);
	return 0;
}

// The pids controller is not asked for by anybody, but where it is there, killing a group does not race against its
// forks.
static bool used(const struct cgroup_place *places, const struct cgroup_limits *limits, size_t which)
{
	bool any = wanted(limits, CGROUP_CPU) || wanted(limits, CGROUP_MEMORY);
	return places[which].dir && (wanted(limits, which) || (which == CGROUP_PIDS && any && !places[which].v2));
}

json_t *cgroup_where(const struct cgroup_place *places, const struct cgroup_limits *limits, const char *name)
{
	json_t *dirs = json_array();
	for (size_t i = 0; i < CGROUP_COUNT; i++) {
		if (!used(places, limits, i))
			continue;
		autofree char *dir = fs_join(places[i].dir, name);
		json_add_once(dirs, dir);
	}
	return dirs;
}

// Makes base/name one level after the other, in version 2 handing the controller down at each.
static int make_levels(const struct cgroup_place *place, const char *name, struct error *err)
{
	autofree char *dir = mem_strdup(place->dir);
	autofree char *rest = mem_strdup(name);
	autofree char *plus = mem_printf("+%s", place->controller);
	char *save = NULL;
	for (char *part = strtok_r(rest, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		autofree char *gives = place->v2 ? read_file(dir, "cgroup.subtree_control") : mem_strdup("");
		if (place->v2 && !has_word(gives, place->controller, " \n") &&
			write_file(dir, "cgroup.subtree_control", plus, err))
			return -1;
		char *next = fs_join(dir, part);
		free(dir);
		dir = next;
		if (mkdir(dir, 0755) && errno != EEXIST)
			return error_errno(err, "cannot make the control group '%s'", dir);
	}
	return 0;
}

static int set_cpus(const struct cgroup_place *place, const char *dir, double cpus, struct error *err)
{
	// The kernel takes quotas from 1 ms and periods up to 1 s.
	long period = cpus < 0.01 ? 1000000 : 100000;
	long quota = (long)(cpus * (double)period + 0.5);
	autofree char *both = mem_printf("%ld %ld", quota, period);
	autofree char *first = mem_printf("%ld", period);
	autofree char *second = mem_printf("%ld", quota);
	if (place->v2)
		return write_file(dir, "cpu.max", both, err);
	if (write_file(dir, "cpu.cfs_period_us", first, err))
		return -1;
	return write_file(dir, "cpu.cfs_quota_us", second, err);
}

static bool has_file(const char *dir, const char *name)
{
	autofree char *path = fs_join(dir, name);
	return !access(path, F_OK);
}

static int set_memory(const struct cgroup_place *place, const char *dir, long long memory, struct error *err)
{
	autofree char *bytes = mem_printf("%lld", memory);
	if (write_file(dir, place->v2 ? "memory.max" : "memory.limit_in_bytes", bytes, err))
		return -1;
	// Without these a node would go on in swap instead of meeting its limit.
	if (place->v2)
		return has_file(dir, "memory.swap.max") ? write_file(dir, "memory.swap.max", "0", err) : 0;
	return has_file(dir, "memory.memsw.limit_in_bytes") ? write_file(dir, "memory.memsw.limit_in_bytes", bytes, err)
							    : 0;
}

int cgroup_make(const struct cgroup_place *places, const struct cgroup_limits *limits, const char *name, char **procs,
	struct error *err)
{
	if (cgroup_check(places, limits, err))
		return -1;
	autostr struct str files = {0};
	for (size_t i = 0; i < CGROUP_COUNT; i++) {
		if (!used(places, limits, i))
			continue;
		autofree char *dir = fs_join(places[i].dir, name);
		if (make_levels(&places[i], name, err))
			return -1;
		if (i == CGROUP_CPU && set_cpus(&places[i], dir, limits->cpus, err))
			return -1;
		if (i == CGROUP_MEMORY && set_memory(&places[i], dir, limits->memory, err))
			return -1;
		autofree char *file = mem_printf("%s/cgroup.procs", dir);
		if (!files.text || !strstr(files.text, file))
			str_printf(&files, "%s%s", files.len ? ":" : "", file);
	}
	*procs = str_steal(&files);
	return 0;
}

// The number after name in the lines "name number" of a group's file.
static long read_count(const char *dir, const char *file, const char *name)
{
	autofree char *text = read_file(dir, file);
	size_t len = strlen(name);
	for (const char *line = text; *line;) {
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			return strtol(line + len, NULL, 10);
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return 0;
}

long cgroup_oom_kills(const char *procs)
{
	long count = 0;
	autofree char *copy = mem_strdup(procs);
	char *save = NULL;
	for (char *file = strtok_r(copy, ":", &save); file; file = strtok_r(NULL, ":", &save)) {
		char *slash = strrchr(file, '/');
		if (!slash)
			continue;
		*slash = 0;
		count += read_count(file, "memory.events", "oom_kill");      // version 2
		count += read_count(file, "memory.oom_control", "oom_kill"); // version 1
	}
	return count;
}

static void find_above(json_t *found, const struct hierarchy *h, const char *name)
{
	autofree char *dir = mem_strdup(h->own);
	do {
		autofree char *path = fs_join(dir, name);
		if (!access(path, F_OK))
			json_add_once(found, path);
	} while (go_up(dir, h->mount));
}

json_t *cgroup_find(const char *name)
{
	json_t *found = json_array();
	autofree char *mounts = read_file("/proc/self", "mountinfo");
	autofree char *own = read_file("/proc/self", "cgroup");
	for (size_t i = 0; i <= CGROUP_COUNT; i++) {
		struct hierarchy h = {0};
		if (hierarchy_find(&h, i < CGROUP_COUNT ? controllers[i] : NULL, mounts, own, ""))
			find_above(found, &h, name);
		hierarchy_fini(&h);
	}
	return found;
}

json_t *cgroup_below(const char *dir)
{
	json_t *names = json_array();
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_type == DT_DIR && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			json_array_append_new(names, json_string(e->d_name));
	if (d)
		closedir(d);
	return names;
}

// Calls on_dir for dir and every group below it, those below first.
static void walk(const char *dir, void (*on_dir)(const char *dir, void *data), void *data)
{
	autojson json_t *names = cgroup_below(dir);
	size_t i;
	json_t *name;
	json_array_foreach (names, i, name) {
		autofree char *path = fs_join(dir, json_string_value(name));
		walk(path, on_dir, data);
	}
	on_dir(dir, data);
}

struct pid_list {
	pid_t *pids;
	size_t count, size;
};

static void add_pids(const char *dir, void *data)
{
	struct pid_list *list = data;
	autofree char *text = read_file(dir, "cgroup.procs");
	char *end;
	for (char *at = text; *at; at = end) {
		long pid = strtol(at, &end, 10);
		if (end == at)
			break;
		// 0 is a process of another pid namespace: not visible, so not ours to list.
		if (pid <= 0)
			continue;
		if (list->count == list->size) {
			list->size = list->size ? list->size * 2 : 16;
			list->pids = mem_resize(list->pids, list->size * sizeof *list->pids);
		}
		list->pids[list->count++] = (pid_t)pid;
	}
}

static size_t pids_of(const char *dir, pid_t **pids)
{
	struct pid_list list = {0};
	walk(dir, add_pids, &list);
	*pids = list.pids;
	return list.count;
}

// No new processes from now on, where the group can say so; version 2 kills all of it at once unless the caller is in
// it.
static void forbid_forks(const char *dir, void *data)
{
	const bool *inside = data;
	if (has_file(dir, "pids.max"))
		write_file(dir, "pids.max", "0", NULL);
	if (!*inside && has_file(dir, "cgroup.kill"))
		write_file(dir, "cgroup.kill", "1", NULL);
}

static bool holds_caller(const char *dir)
{
	autofree pid_t *pids = NULL;
	size_t count = pids_of(dir, &pids);
	for (size_t i = 0; i < count; i++)
		if (pids[i] == getpid())
			return true;
	return false;
}

static void remove_one(const char *dir, void *data)
{
	bool *busy = data;
	if (rmdir(dir) && errno != ENOENT)
		*busy = true;
}

int cgroup_remove(const char *dir, double seconds, struct error *err)
{
	double end = clock_mono() + seconds;
	bool inside = holds_caller(dir);
	walk(dir, forbid_forks, &inside);
	for (int wait = 1;; wait = wait < 50 ? wait * 2 : 50) {
		bool busy = false;
		autofree pid_t *pids = NULL;
		size_t count = pids_of(dir, &pids);
		for (size_t i = 0; i < count; i++)
			if (pids[i] != getpid())
				kill(pids[i], SIGKILL);
		walk(dir, remove_one, &busy);
		if (!busy)
			return 0;
		if (clock_mono() > end)
			return error_set(err, ERROR_SYSTEM,
				"the control group '%s' with %zu processes is still there after %g s", dir, count,
				seconds);
		// A group stays busy for a moment after its last process is gone and nothing says when that has passed.
		poll(NULL, 0, wait);
	}
}
