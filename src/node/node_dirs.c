#include "node/node_dirs.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD "run.json"
#define KEPT "kept"
#define RECORD_MAX (8u << 20)
enum { AGENT_MAX = 4096, YOUNG = 10 }; // bytes of agent.json; seconds

static const char *chosen(void)
{
	const char *dir = getenv("MUSTER_NODES_DIR");
	return dir && *dir ? dir : NULL;
}

static char *default_base(const char *tmp)
{
	return mem_printf("%s/muster-%u", tmp && *tmp ? tmp : "/tmp", (unsigned)geteuid());
}

char *node_dirs_base(void)
{
	// Not XDG_RUNTIME_DIR: that is a small file system in memory, and a node holds the job's data.
	char *base = chosen() ? fs_absolute(chosen(), NULL) : default_base(getenv("TMPDIR"));
	return base ? base : mem_strdup(chosen());
}

// Is the directory that path names (not what a link there leads to) ours alone?
static int check_ours(const char *path, struct error *err)
{
	struct stat st;
	if (lstat(path, &st))
		return error_errno(err, "cannot examine '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERROR_SYSTEM, "'%s' is %s, expected a directory", path,
			S_ISLNK(st.st_mode) ? "a symbolic link" : "a file");
	if (st.st_uid != geteuid())
		return error_set(err, ERROR_SYSTEM, "'%s' belongs to user %u, expected %u", path, (unsigned)st.st_uid,
			(unsigned)geteuid());
	if (st.st_mode & 077)
		return error_set(
			err, ERROR_SYSTEM, "'%s' has mode %04o, expected 0700", path, (unsigned)(st.st_mode & 07777));
	return 0;
}

int node_dirs_check(struct error *err)
{
	autofree char *base = node_dirs_base();
	if (str_utf8_valid(base, strlen(base)) != strlen(base))
		return error_set(
			err, ERROR_SYSTEM, "the path '%s' is not UTF-8, choose another in MUSTER_NODES_DIR", base);
	if (!access(base, F_OK)) {
		if (check_ours(base, err))
			return -1;
		return access(base, W_OK | X_OK) ? error_errno(err, "cannot write to '%s'", base) : 0;
	}
	autofree char *above = mem_strdup(base);
	while (access(above, F_OK)) {
		char *slash = strrchr(above, '/');
		if (!slash || slash == above) {
			strcpy(above, "/");
			break;
		}
		*slash = 0;
	}
	return access(above, W_OK | X_OK) ? error_errno(err, "cannot make '%s': '%s' cannot be written", base, above)
					  : 0;
}

static int make_base(const char *base, struct error *err)
{
	if (!mkdir(base, 0700) || errno == EEXIST)
		return check_ours(base, err);
	if (errno != ENOENT || !chosen())
		return error_errno(err, "cannot make '%s'", base);
	if (fs_mkdirs(base, 0700, err))
		return -1;
	return check_ours(base, err);
}

int node_dirs_save(const char *dir, const json_t *record, struct error *err)
{
	autofree char *path = fs_join(dir, RECORD);
	autofree char *text = json_dumps(record, JSON_INDENT(1));
	return fs_write(path, text, strlen(text), 0600, err);
}

char *node_dirs_make(const char *label, const json_t *record, struct error *err)
{
	autofree char *base = node_dirs_base();
	autofree char *dir = fs_join(base, label);
	// A run that ends at the same time may remove the empty base between the two steps.
	for (int tries = 0;; tries++) {
		if (make_base(base, err))
			return NULL;
		if (!mkdir(dir, 0700) || errno == EEXIST)
			break;
		if (errno != ENOENT || tries == 10) {
			error_errno(err, "cannot make '%s'", dir);
			return NULL;
		}
	}
	if (check_ours(dir, err) || node_dirs_save(dir, record, err))
		return NULL;
	return steal(dir);
}

json_t *node_dirs_record(const char *dir)
{
	autofree char *path = fs_join(dir, RECORD);
	size_t len;
	autofree char *text = fs_read(path, RECORD_MAX, &len, NULL);
	json_t *record = text ? json_loadb(text, len, 0, NULL) : NULL;
	if (record && !json_is_object(record)) {
		json_decref(record);
		return NULL;
	}
	return record;
}

bool node_dirs_alive(const json_t *process)
{
	pid_t pid = (pid_t)json_integer_value(json_object_get(process, "pid"));
	return proc_alive(pid, (unsigned long long)json_integer_value(json_object_get(process, "started")));
}

static void find_below(json_t *found, const char *base, const char *label)
{
	if (check_ours(base, NULL))
		return;
	DIR *d = opendir(base);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.' || (label && strcmp(label, e->d_name) != 0))
			continue;
		autofree char *dir = fs_join(base, e->d_name);
		if (!check_ours(dir, NULL))
			json_array_append_new(found, json_string(dir));
	}
	if (d)
		closedir(d);
}

json_t *node_dirs_find(const char *label)
{
	json_t *found = json_array();
	autofree char *base = node_dirs_base();
	autofree char *other = default_base(NULL);
	find_below(found, base, label);
	if (!chosen() && strcmp(base, other) != 0)
		find_below(found, other, label);
	return found;
}

json_t *node_dirs_nodes(const char *dir)
{
	json_t *all = json_array();
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		autofree char *node = str_starts(e->d_name, "node-") ? fs_join(dir, e->d_name) : NULL;
		if (node)
			json_array_append_new(all, json_string(node));
	}
	if (d)
		closedir(d);
	return all;
}

int node_dirs_keep(const char *node, struct error *err)
{
	autofree char *path = fs_join(node, KEPT);
	return fs_write(path, "", 0, 0600, err);
}

bool node_dirs_is_mark(const char *name)
{
	return strcmp(name, KEPT) == 0;
}

bool node_dirs_is_kept(const char *node)
{
	autofree char *path = fs_join(node, KEPT);
	return fs_exists(path);
}

static bool has_agent(const char *node)
{
	autofree char *path = fs_join(node, "agent.json");
	autofree char *text = fs_read(path, AGENT_MAX, NULL, NULL);
	autojson json_t *process = text ? json_loads(text, 0, NULL) : NULL;
	return process && node_dirs_alive(process);
}

// All that is left of it is kept.
static bool is_over(const char *dir)
{
	autojson json_t *nodes = node_dirs_nodes(dir);
	bool kept = false;
	size_t i;
	json_t *node;
	json_array_foreach (nodes, i, node) {
		if (has_agent(json_string_value(node)))
			return false;
		kept = kept || node_dirs_is_kept(json_string_value(node));
	}
	return kept;
}

bool node_dirs_live(const char *dir)
{
	autojson json_t *record = node_dirs_record(dir);
	if (json_is_true(json_object_get(record, "remote")))
		return !is_over(dir);
	if (record)
		return node_dirs_alive(json_object_get(record, "controller"));
	struct stat st;
	return !stat(dir, &st) && clock_wall() - (double)st.st_mtim.tv_sec < YOUNG;
}

int node_dirs_remove(const char *dir, struct error *err)
{
	if (fs_remove(dir, err))
		return -1;
	autofree char *base = mem_strdup(dir);
	char *slash = strrchr(base, '/');
	if (!chosen() && slash) {
		*slash = 0;
		rmdir(base);
	}
	return 0;
}

static bool has_kept(const char *dir)
{
	autojson json_t *nodes = node_dirs_nodes(dir);
	size_t i;
	json_t *node;
	json_array_foreach (nodes, i, node)
		if (node_dirs_is_kept(json_string_value(node)))
			return true;
	return false;
}

int node_dirs_remove_but_kept(const char *dir, struct error *err)
{
	if (!has_kept(dir))
		return node_dirs_remove(dir, err);
	DIR *d = opendir(dir);
	if (!d)
		return error_errno(err, "cannot read '%s'", dir);
	int rc = 0;
	for (struct dirent *e; (e = readdir(d));) {
		autofree char *path = fs_join(dir, e->d_name);
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && strcmp(e->d_name, RECORD) != 0 &&
			!node_dirs_is_kept(path))
			rc |= fs_remove(path, rc ? NULL : err);
	}
	closedir(d);
	return rc ? -1 : 0;
}

char *node_dirs_agent(void)
{
	const char *chosen = getenv("MUSTER_AGENT");
	return chosen && *chosen ? mem_strdup(chosen) : fs_beside("muster-agent");
}
