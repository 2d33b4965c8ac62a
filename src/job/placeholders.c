#include "job/placeholders.h"

#include "base/mem.h"
#include "base/str.h"
#include "job/placeholder_expand.h"

#include <stdlib.h>
#include <string.h>

// --- placeholders ---------------------------------------------------------------

static char *check_index(const char *name, long index, size_t count, const char *what, struct error *err)
{
	if (index >= 0 && (size_t)index >= count)
		error_set(err, ERROR_USAGE, "found {%s[%ld]}, expected at most {%s[%zu]}: the number of %s is %zu",
			name, index, name, count - 1, what, count);
	return NULL;
}

static char *look_up_list(const struct placeholders *scope, const char *name, long index, struct error *err)
{
	const struct launch *launch = scope->launch;
	bool port = strcmp(name, "port") == 0;
	if (port)
		*scope->ports = true;
	if (index >= 0)
		return check_index(name, index, port ? launch->size : launch->nodes, port ? "ranks" : "nodes", err);
	if (port && scope->rank < 0)
		error_set(err, ERROR_USAGE, "found {port}, expected {port[R]}: a setup command belongs to no rank");
	if (!port && scope->rank >= 0)
		return mem_printf("{addr[%zu]}", (size_t)scope->rank / launch->procs);
	return NULL;
}

static char *look_up_rank(const struct placeholders *scope, const char *name, bool *known)
{
	const struct launch *launch = scope->launch;
	size_t rank = (size_t)scope->rank;
	*known = true;
	if (strcmp(name, "rank") == 0)
		return mem_printf("%zu", rank);
	if (strcmp(name, "local_rank") == 0)
		return mem_printf("%zu", rank % launch->procs);
	if (strcmp(name, "node") == 0)
		return mem_printf("%zu", rank / launch->procs);
	if (strcmp(name, "role") == 0)
		return mem_strdup(scope->role->name);
	if (strcmp(name, "index") == 0)
		return mem_printf("%zu", rank - scope->role->first * launch->procs);
	*known = false;
	return NULL;
}

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static char *look_up(const char *name, long index, void *data, struct error *err)
{
	static const char *const of_rank[] = {"rank", "local_rank", "node", "role", "index", NULL};
	static const char *const of_run[] = {"nodes", "size", NULL};
	static const char *const live[] = {"data", "out", "hosts", "hostfile", NULL};
	const struct placeholders *scope = data;
	if (strcmp(name, "addr") == 0 || strcmp(name, "port") == 0)
		return look_up_list(scope, name, index, err);
	bool mine = is_one_of(name, of_rank);
	if (!mine && !is_one_of(name, of_run) && !is_one_of(name, live))
		return NULL;
	if (index >= 0) {
		error_set(err, ERROR_USAGE, "found {%s[%ld]}, expected {%s}, or {{%s[%ld]}} for the text itself", name,
			index, name, name, index);
		return NULL;
	}
	if (mine && scope->rank < 0) {
		if (strcmp(name, "rank") == 0 || strcmp(name, "local_rank") == 0)
			error_set(err, ERROR_USAGE, "found {%s}, expected {node}: a setup command belongs to no rank",
				name);
		return NULL; // plan_slice knows the node
	}
	if (mine)
		return look_up_rank(scope, name, &mine);
	if (strcmp(name, "nodes") == 0)
		return mem_printf("%zu", scope->launch->nodes);
	return strcmp(name, "size") ? NULL : mem_printf("%zu", scope->launch->size);
}

json_t *placeholders_text(const struct placeholders *scope, const char *text, const struct yaml *node)
{
	struct error why = {0};
	autofree char *result = placeholder_expand_text(text, 0, look_up, (void *)scope, &why);
	if (result)
		return json_string(result);
	yaml_error(node, scope->err, "%s", why.text);
	return NULL;
}

// --- what they stand in ---------------------------------------------------------

json_t *placeholders_argv(
	const struct placeholders *scope, const struct field_command *command, const struct yaml *node)
{
	json_t *argv = command->shell ? mem_json("[s, s]", "/bin/sh", "-c") : json_array();
	for (size_t i = 0; i < command->words.count; i++) {
		json_t *word = placeholders_text(
			scope, command->words.items[i], command->shell ? node : node->entries[i].value);
		if (!word) {
			json_decref(argv);
			return NULL;
		}
		json_array_append_new(argv, word);
	}
	return argv;
}

int placeholders_env(
	const struct placeholders *scope, json_t *env, const struct field_env *from, const struct yaml *node)
{
	for (size_t i = 0; i < from->count; i++) {
		const struct yaml_entry *entry = &node->entries[i];
		const char *name = from->items[i].name;
		if (str_starts(name, "MUSTER_"))
			return yaml_error_at(entry->value->file, entry->line, entry->column, scope->err,
				"found the variable '%s', expected a name that does not begin with MUSTER_: those are "
				"muster's",
				name);
		json_t *value = placeholders_text(scope, from->items[i].value, entry->value);
		if (!value)
			return -1;
		json_object_set_new(env, name, value);
	}
	return 0;
}
