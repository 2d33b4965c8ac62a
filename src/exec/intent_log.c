#include "exec/intent_log.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INTENT_MAX (8u << 20)

static char *base(const char *executor, struct error *err)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	if (state && *state == '/')
		return mem_printf("%s/muster/%s", state, executor);
	if (home && *home)
		return mem_printf("%s/.local/state/muster/%s", home, executor);
	error_set(err, ERROR_SYSTEM,
		"neither HOME nor XDG_STATE_HOME is set, expected one: what muster creates elsewhere is recorded "
		"below it");
	return NULL;
}

int intent_log_save(const char *executor, const json_t *intent, struct error *err)
{
	autofree char *dir = base(executor, err);
	if (!dir || fs_mkdirs(dir, 0700, err))
		return -1;
	autofree char *path = mem_printf("%s/%s.json", dir, json_string_value(json_object_get(intent, "label")));
	autofree char *text = json_dumps(intent, JSON_INDENT(1));
	return fs_write(path, text, strlen(text), 0600, err);
}

static void add(json_t *found, const char *dir, const char *label)
{
	autofree char *path = mem_printf("%s/%s.json", dir, label);
	size_t len;
	autofree char *text = fs_read(path, INTENT_MAX, &len, NULL);
	json_t *intent = text ? json_loadb(text, len, 0, NULL) : NULL;
	const char *name = json_string_value(json_object_get(intent, "label"));
	if (name && strcmp(name, label) == 0)
		json_array_append(found, intent);
	json_decref(intent);
}

json_t *intent_log_find(const char *executor, const char *label)
{
	json_t *found = json_array();
	autofree char *dir = base(executor, NULL);
	if (label && dir)
		add(found, dir, label);
	DIR *d = !label && dir ? opendir(dir) : NULL;
	for (struct dirent *e; d && (e = readdir(d));)
		if (str_ends(e->d_name, ".json")) {
			autofree char *name = mem_strndup(e->d_name, strlen(e->d_name) - strlen(".json"));
			add(found, dir, name);
		}
	if (d)
		closedir(d);
	return found;
}

void intent_log_remove(const char *executor, const char *label)
{
	autofree char *dir = base(executor, NULL);
	autofree char *path = dir ? mem_printf("%s/%s.json", dir, label) : NULL;
	if (path)
		unlink(path);
}
