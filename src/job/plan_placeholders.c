#include "job/plan_placeholders.h"

#include "base/mem.h"
#include "base/str.h"
#include "job/placeholders.h"

#include <stdlib.h>
#include <string.h>

// --- values the plan knows ------------------------------------------------------

static char *check_index(const char *name, long index, size_t count, const char *what, struct error *err)
{
	if (index >= 0 && (size_t)index >= count)
		error_set(err, ERROR_USAGE, "found {%s[%ld]}, expected at most {%s[%zu]}: the number of %s is %zu",
			name, index, name, count - 1, what, count);
	return NULL;
}

static char *look_up_port(const struct plan_placeholders *scope, long index, struct error *err)
{
	*scope->ports = true;
	if (index < 0 && scope->rank < 0)
		error_set(err, ERROR_USAGE, "found {port}, expected {port[R]}: a setup command belongs to no rank");
	return check_index("port", index, scope->launch->size, "ranks", err);
}

static char *look_up_address(const struct plan_placeholders *scope, long index, struct error *err)
{
	if (index < 0 && scope->rank >= 0)
		return mem_printf("{addr[%zu]}", (size_t)scope->rank / scope->launch->procs);
	return check_index("addr", index, scope->launch->nodes, "nodes", err);
}

static char *refuse_in_setup(const char *name, struct error *err)
{
	error_set(err, ERROR_USAGE, "found {%s}, expected {node}: a setup command belongs to no rank", name);
	return NULL;
}

// Of a rank. In a setup step plan_slice fills what differs from node to node.
static char *look_up_rank(const struct plan_placeholders *scope, enum placeholder_id id, struct error *err)
{
	const struct launch *launch = scope->launch;
	size_t rank = (size_t)scope->rank;
	if (scope->rank < 0)
		return id == PLACEHOLDER_RANK || id == PLACEHOLDER_LOCAL_RANK
			       ? refuse_in_setup(placeholders[id].name, err)
			       : NULL;
	if (id == PLACEHOLDER_ROLE)
		return mem_strdup(scope->role->name);
	return mem_printf("%zu", id == PLACEHOLDER_RANK         ? rank
				 : id == PLACEHOLDER_LOCAL_RANK ? rank % launch->procs
				 : id == PLACEHOLDER_NODE       ? rank / launch->procs
								: rank - scope->role->first * launch->procs);
}

static char *look_up(const char *name, long index, void *data, struct error *err)
{
	const struct plan_placeholders *scope = data;
	const struct placeholder *p = placeholders_find(name);
	if (p && index >= 0 && !p->index)
		error_set(err, ERROR_USAGE, "found {%s[%ld]}, expected {%s}, or {{%s[%ld]}} for the text itself", name,
			index, name, name, index);
	if (!p || (index >= 0 && !p->index))
		return NULL;
	if (p->id == PLACEHOLDER_ADDR)
		return look_up_address(scope, index, err);
	if (p->id == PLACEHOLDER_PORT)
		return look_up_port(scope, index, err);
	if (p->filled_by == PLACEHOLDER_OF_NODE)
		return NULL;
	if (p->id == PLACEHOLDER_SIZE)
		return mem_printf("%zu", scope->launch->size);
	if (p->id == PLACEHOLDER_NODES)
		return mem_printf("%zu", scope->launch->nodes);
	return look_up_rank(scope, p->id, err);
}

json_t *plan_placeholders_text(const struct plan_placeholders *scope, const char *text, const struct yaml *node)
{
	struct error why = {0};
	autofree char *result = placeholders_expand_text(text, 0, look_up, (void *)scope, &why);
	if (result)
		return json_string(result);
	yaml_error(node, scope->err, "%s", why.text);
	return NULL;
}

// --- what they stand in ---------------------------------------------------------

json_t *plan_placeholders_argv(
	const struct plan_placeholders *scope, const struct field_command *command, const struct yaml *node)
{
	json_t *argv = command->shell ? mem_json("[s, s]", "/bin/sh", "-c") : json_array();
	for (size_t i = 0; i < command->words.count; i++) {
		json_t *word = plan_placeholders_text(
			scope, command->words.items[i], command->shell ? node : node->entries[i].value);
		if (!word) {
			json_decref(argv);
			return NULL;
		}
		json_array_append_new(argv, word);
	}
	return argv;
}

int plan_placeholders_env(
	const struct plan_placeholders *scope, json_t *env, const struct field_env *from, const struct yaml *node)
{
	for (size_t i = 0; i < from->count; i++) {
		const struct yaml_entry *entry = &node->entries[i];
		const char *name = from->items[i].name;
		if (str_starts(name, "MUSTER_"))
			return yaml_error_at(entry->value->file, entry->line, entry->column, scope->err,
				"found the variable '%s', expected a name that does not begin with MUSTER_: those are "
				"muster's",
				name);
		json_t *value = plan_placeholders_text(scope, from->items[i].value, entry->value);
		if (!value)
			return -1;
		json_object_set_new(env, name, value);
	}
	return 0;
}
