#include "common/folder.h"

#include "common/die.h"
#include "common/mem.h"
#include "common/resize.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define MAX_DEPTH 32 // a link to a folder above would go round for ever

struct paths {
	char **path;
	size_t count, room;
};

static bool is_image(const char *name)
{
	const char *dot = strrchr(name, '.');
	return dot && (strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

static void find_images(const char *dir, int depth, struct paths *found)
{
	if (depth > MAX_DEPTH)
		die("%s: more than %d folders deep: does a link go round?", dir, MAX_DEPTH);
	DIR *d = opendir(dir);
	if (!d)
		die("%s: %s", dir, strerror(errno));
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		char *path;
		struct stat st;
		if (asprintf(&path, "%s/%s", dir, e->d_name) < 0)
			die("out of memory");
		if (stat(path, &st) < 0)
			die("%s: %s", path, strerror(errno));
		if (S_ISREG(st.st_mode) && is_image(path)) {
			if (found->count == found->room) {
				found->room = found->room ? found->room * 2 : 256;
				found->path = mem_grow(found->path, found->room, sizeof *found->path);
			}
			found->path[found->count++] = path;
			continue;
		}
		if (S_ISDIR(st.st_mode))
			find_images(path, depth + 1, found);
		free(path);
	}
	closedir(d);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void load_into(struct images *set, size_t at, const char *path)
{
	struct images one = image_load(path);
	struct resize *r = resize_new(one.height, one.width, set->width);
	resize_run(r, one.pixels, one.channels, set->pixels + at * images_bytes(set));
	resize_free(r);
	images_fini(&one);
}

struct images folder_load(const char *dir, int size)
{
	struct paths found = {0};
	find_images(dir, 0, &found);
	if (found.count == 0)
		die("%s: no .png, .jpg or .jpeg file in it", dir);
	qsort(found.path, found.count, sizeof *found.path, by_name); // readdir's order differs from machine to machine
	struct images set = images_new(found.count, 3, size, size);
	for (size_t i = 0; i < found.count; i++) {
		load_into(&set, i, found.path[i]);
		free(found.path[i]);
	}
	free(found.path);
	return set;
}
