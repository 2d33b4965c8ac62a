#include "node/collect.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 100000, DEPTH_MAX = 64 };

struct search {
	const json_t *globs;
	json_t *found;
	struct error *err;
};

// Matches path against a pattern name by name; "**" stands for any number of names.
static bool matches(const char *pattern, const char *path)
{
	size_t np = strcspn(pattern, "/"), nn = strcspn(path, "/");
	const char *pattern_rest = pattern[np] ? pattern + np + 1 : NULL;
	const char *path_rest = path[nn] ? path + nn + 1 : NULL;
	if (np == 2 && strncmp(pattern, "**", 2) == 0) {
		if (!pattern_rest)
			return true;
		return matches(pattern_rest, path) || (path_rest && matches(pattern, path_rest));
	}
	autofree char *p = mem_strndup(pattern, np), *n = mem_strndup(path, nn);
	if (fnmatch(p, n, FNM_PERIOD) != 0)
		return false;
	if (!pattern_rest || !path_rest)
		return !pattern_rest && !path_rest;
	return matches(pattern_rest, path_rest);
}

static bool wanted(const struct search *s, const char *path)
{
	size_t i;
	const json_t *glob;
	json_array_foreach (s->globs, i, glob)
		if (matches(json_string_value(glob), path))
			return true;
	return false;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_file(struct search *s, const char *path, const struct stat *st)
{
	if (!wanted(s, path))
		return 0;
	if (json_array_size(s->found) == FILES_MAX)
		return error_set(s->err, ERROR_JOB, "more than %d files match the outputs", FILES_MAX);
	json_t *name = json_string(path);
	if (!name)
		return 0; // no UTF-8: it cannot be named in an event
	return json_array_append_new(s->found, mem_json("{s:o, s:I, s:i}", "path", name, "size",
						       (json_int_t)st->st_size, "mode", (int)(st->st_mode & 0777)));
}

static int walk(struct search *s, int dirfd, const char *prefix, int depth);

static int look_at(struct search *s, int dirfd, const char *prefix, const char *name, int depth)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0; // it went away
	autofree char *path = mem_printf("%s%s%s", prefix, *prefix ? "/" : "", name);
	if (S_ISREG(st.st_mode))
		return add_file(s, path, &st);
	if (!S_ISDIR(st.st_mode) || depth == DEPTH_MAX)
		return 0;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? 0 : walk(s, fd, path, depth + 1);
}

// Takes dirfd. Names in order, so that the result is.
static int walk(struct search *s, int dirfd, const char *prefix, int depth)
{
	DIR *dir = fdopendir(dirfd);
	char **names = NULL;
	size_t n = 0;
	for (struct dirent *e; (e = readdir(dir));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		names = mem_resize(names, (n + 1) * sizeof *names);
		names[n++] = mem_strdup(e->d_name);
	}
	if (n)
		qsort(names, n, sizeof *names, compare);
	int failed = 0;
	for (size_t i = 0; i < n; i++) {
		if (failed == 0)
			failed = look_at(s, dirfd, prefix, names[i], depth);
		free(names[i]);
	}
	free(names);
	closedir(dir);
	return failed;
}

json_t *collect_find(const char *dir, const json_t *globs, struct error *err)
{
	struct search s = {.globs = globs, .found = json_array(), .err = err};
	if (json_array_size(globs) == 0)
		return s.found;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		error_errno(err, "cannot open '%s'", dir);
	if (fd < 0 || walk(&s, fd, "", 0) < 0) {
		json_decref(s.found);
		return NULL;
	}
	return s.found;
}

bool collect_any(const json_t *files, const char *glob)
{
	size_t i;
	const json_t *file;
	json_array_foreach (files, i, file)
		if (matches(glob, json_string_value(json_object_get(file, "path"))))
			return true;
	return false;
}
