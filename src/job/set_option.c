#include "job/set_option.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

// Where in the path we are: the node, what it may hold, and the row it belongs to.
struct walk {
	struct yaml *node;
	const struct field_shape *shape; // of the map that node is, else NULL
	const struct field *field;       // of the list, or of the map of names, that node is, else NULL
	const char *text, *at, *value;   // the whole option, the next step, behind the '='
	const char *name;
	struct error *err;
};

static int column(const struct walk *w, const char *at)
{
	return (int)(at - w->text) + 1;
}

static int fail(const struct walk *w, const char *at, const char *expected)
{
	autofree char *rest = yaml_quote(at);
	return yaml_error_at(
		w->name, 0, column(w, at), w->err, "found %s, expected %s", *at ? rest : "nothing", expected);
}

char *set_option_name(const char *text)
{
	autofree char *quoted = yaml_quote(text);
	return mem_printf("--set %s", quoted);
}

// Puts the value (taken), or an empty map when there are more steps, at the key or index; goes on there.
static struct yaml *step_into(struct walk *w, const char *key, size_t index, int at, bool last)
{
	struct yaml *child = key                      ? yaml_find(w->node, key)
			     : index < w->node->count ? w->node->entries[index].value
						      : NULL;
	if (child && !last && !yaml_is_null(child))
		return child;
	struct yaml *fresh = yaml_new(NULL, w->name, 0, at);
	if (!key && child) {
		yaml_discard(child);
		w->node->entries[index].value = fresh;
		w->node->entries[index].line = 0;
		w->node->entries[index].column = at;
	} else {
		yaml_put(w->node, key, 0, at, fresh);
	}
	return fresh;
}

// What the value of a row is, for the steps behind it.
static void enter(struct walk *w, const struct field *row)
{
	bool inner = row->type == FIELD_OBJECTS || row->type == FIELD_NAMED || row->type == FIELD_ENV ||
		     row->type == FIELD_TEXTS || row->type == FIELD_COMMAND;
	w->shape = row->type == FIELD_OBJECT ? row->shape : NULL;
	w->field = inner ? row : NULL;
}

static bool is_list(const struct field *field)
{
	return field && (field->type == FIELD_OBJECTS || field->type == FIELD_TEXTS || field->type == FIELD_COMMAND);
}

static int take_index(struct walk *w)
{
	const char *at = w->at++;
	size_t digits = strspn(w->at, "0123456789");
	if (!is_list(w->field))
		return fail(w, at, "'.' and a key, or '='");
	if (!digits || digits > 4 || w->at[digits] != ']')
		return fail(w, at, "the number of an entry, such as [0]");
	size_t index = strtoul(w->at, NULL, 10);
	w->at += digits + 1;
	if (w->node->kind == YAML_MAP && !w->node->count)
		w->node->kind = YAML_LIST; // made on the way
	if (w->node->kind != YAML_LIST)
		return fail(w, at, "'=': there is no list");
	if (index > w->node->count) {
		autofree char *expected = mem_printf("at most [%zu]", w->node->count);
		return fail(w, at, expected);
	}
	const struct field *list = w->field;
	w->node = step_into(w, NULL, index, column(w, at), *w->at == '=');
	w->shape = list->type == FIELD_OBJECTS ? list->shape : NULL;
	w->field = NULL;
	return 0;
}

static int take_key(struct walk *w)
{
	const char *at = w->at;
	size_t len = strcspn(at, ".[=");
	autofree char *key = mem_strndup(at, len);
	if (!len)
		return fail(w, at, "a key");
	const struct field *row = w->shape ? field_find(w->shape, key) : NULL;
	bool names = w->field && (w->field->type == FIELD_NAMED || w->field->type == FIELD_ENV);
	autofree char *path = mem_strndup(w->text, at > w->text ? (size_t)(at - w->text) - 1 : 0);
	if (w->shape && !row)
		return field_unknown(w->shape, key, path, &(struct yaml_origin){w->name, 0, column(w, at)}, w->err);
	if (!row && !names)
		return fail(w, at, "'=': there are no keys below");
	if (w->shape && w->shape->shorthand && w->node->kind != YAML_MAP)
		yaml_wrap(w->node, w->shape->shorthand);
	if (w->node->kind != YAML_MAP) {
		autofree char *found = yaml_describe(w->node);
		return yaml_error(w->node, w->err, "found %s for '%s', expected a map of keys and values", found, path);
	}
	const struct field *map = w->field;
	w->at += len;
	w->node = step_into(w, key, 0, column(w, at), *w->at == '=');
	w->shape = NULL;
	w->field = NULL;
	if (row)
		enter(w, row);
	else if (map->type == FIELD_NAMED)
		w->shape = map->shape;
	return 0;
}

static struct yaml *read_value(const struct walk *w, const char *text)
{
	struct yaml_origin origin = {w->name, 0, column(w, text)};
	if (!*text) {
		struct yaml *nothing = yaml_new("", w->name, 0, origin.column);
		nothing->plain = true;
		return nothing;
	}
	struct error why = {0};
	struct yaml *value = yaml_parse(text, strlen(text), &origin, &why);
	if (!value)
		error_set(w->err, why.code,
			"%.800s; a value with special characters needs quotes of its own, such as 'name=\"*.txt\"'",
			why.text);
	return value;
}

int set_option_apply(
	const struct field_shape *shape, struct yaml *tree, const char *text, const char *name, struct error *err)
{
	struct walk w = {.node = tree, .shape = shape, .text = text, .at = text, .name = name, .err = err};
	const char *equals = strchr(text, '=');
	if (!equals)
		return fail(&w, text + strlen(text), "PATH=VALUE, such as run.env.X=1");
	size_t valid = str_utf8_valid(text, strlen(text));
	if (text[valid])
		return yaml_error_at(name, 0, column(&w, text + valid), err,
			"found the byte 0x%02x, expected text in UTF-8", (unsigned char)text[valid]);
	struct yaml *value = read_value(&w, equals + 1);
	if (!value)
		return -1;
	int rc = take_key(&w);
	while (!rc && *w.at != '=') {
		if (*w.at == '[') {
			rc = take_index(&w);
		} else if (*w.at == '.') {
			w.at++;
			rc = take_key(&w);
		} else {
			rc = fail(&w, w.at, "'.', '[' or '='");
		}
	}
	if (rc) {
		yaml_discard(value);
		return -1;
	}
	struct yaml old = *w.node;
	*w.node = *value;
	*value = old;
	yaml_discard(value);
	return 0;
}
