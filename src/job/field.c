#include "job/field.h"

#include "base/did_you_mean.h"
#include "base/mem.h"
#include "base/regex.h"
#include "base/str.h"
#include "job/units.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_KEYS = 64,
	MAX_TEXT = 4096,
	MAX_WORD = 131071, // what Linux takes as one word of argv or environment
};

struct reading {
	const struct field *field;
	struct yaml *node;
	const char *path;
	void *slot;
	struct error *err;
};

static int fail(const struct reading *r, const struct yaml *node, const char *expected)
{
	autofree char *found = yaml_describe(node);
	return yaml_error(node, r->err, "found %s for '%s', expected %s", found, r->path, expected);
}

static const char *expected_text(const struct field *field)
{
	return field->expected ? field->expected : "a text";
}

bool field_match(const char *pattern, const char *text)
{
	autofree char *whole = mem_printf("\\A(?:%s)\\z", pattern);
	struct regex *p = regex_new(whole, NULL);
	bool match = p && regex_find(p, text, strlen(text));
	regex_free(p);
	return match;
}

// --- scalars ------------------------------------------------------------------

// A copy of a scalar's text into *out.
static int read_word(const struct reading *r, const struct yaml *node, size_t max, char **out)
{
	if (node->kind != YAML_SCALAR || yaml_is_null(node))
		return fail(r, node, expected_text(r->field));
	size_t len = strlen(node->text);
	if (len > max)
		return yaml_error(node, r->err, "found %zu bytes for '%s', expected at most %zu", len, r->path, max);
	*out = mem_strdup(node->text);
	return 0;
}

static int read_text(const struct reading *r, const struct yaml *node, char **out)
{
	if (read_word(r, node, MAX_TEXT, out))
		return -1;
	if (!**out || (r->field->pattern && !field_match(r->field->pattern, *out)))
		return fail(
			r, node, **out || r->field->expected ? expected_text(r->field) : "a text that is not empty");
	return 0;
}

static int read_regex(const struct reading *r)
{
	char **out = r->slot;
	if (read_word(r, r->node, MAX_TEXT, out))
		return -1;
	struct error why;
	struct regex *p = regex_new(*out, &why);
	if (!p) {
		autofree char *expected = mem_printf("a regular expression (%s)", why.text);
		return fail(r, r->node, expected);
	}
	size_t groups = regex_groups(p);
	regex_free(p);
	return groups ? 0
		      : fail(r, r->node,
				"a regular expression with a group around the number, such as 'loss: ([0-9.]+)'");
}

static int read_int(const struct reading *r)
{
	const struct field *f = r->field;
	const struct yaml *node = r->node;
	bool quoted = node->kind == YAML_SCALAR && !node->plain;
	autofree char *expected = mem_printf(
		"a whole number from %ld to %ld%s", (long)f->min, (long)f->max, quoted ? ", without quotes" : "");
	if (node->kind != YAML_SCALAR || !node->plain || !*node->text || node->text[strspn(node->text, "0123456789")])
		return fail(r, node, expected);
	long value = strtol(node->text, NULL, 10); // what is too large is LONG_MAX
	if ((double)value < f->min || (double)value > f->max)
		return fail(r, node, expected);
	*(long *)r->slot = value;
	return 0;
}

static int read_bool(const struct reading *r)
{
	static const char *const words[] = {"false", "False", "FALSE", "true", "True", "TRUE"};
	for (size_t i = 0; r->node->kind == YAML_SCALAR && r->node->plain && i < countof(words); i++) {
		if (strcmp(words[i], r->node->text) == 0) {
			*(int *)r->slot = i > 2;
			return 0;
		}
	}
	return fail(r, r->node,
		r->node->kind == YAML_SCALAR && !r->node->plain ? "true or false, without quotes" : "true or false");
}

static char *join(const char *const *names)
{
	autostr struct str s = {0};
	for (size_t i = 0; names[i]; i++)
		str_printf(&s, "%s%s", i ? ", " : "", names[i]);
	return str_steal(&s);
}

static int read_choice(const struct reading *r)
{
	const char *const *names = r->field->choices;
	for (int i = 0; r->node->kind == YAML_SCALAR && names[i]; i++) {
		if (strcmp(names[i], r->node->text) == 0) {
			*(int *)r->slot = i;
			return 0;
		}
	}
	const char *nearest = r->node->kind == YAML_SCALAR ? did_you_mean(r->node->text, names) : NULL;
	autofree char *known = join(names), *hint = did_you_mean_text(" (", nearest, ")");
	autofree char *expected = mem_printf("one of %s%s", known, hint);
	return fail(r, r->node, expected);
}

// As one would write it in the file.
static char *print_seconds(double seconds)
{
	if (seconds >= 86400 && fmod(seconds, 86400) == 0)
		return mem_printf("%gd", seconds / 86400);
	if (seconds >= 3600 && fmod(seconds, 3600) == 0)
		return mem_printf("%gh", seconds / 3600);
	return mem_printf("%gs", seconds);
}

static int read_quantity(const struct reading *r)
{
	const struct field *f = r->field;
	struct error why = {0};
	const char *text = r->node->kind == YAML_SCALAR && !yaml_is_null(r->node) ? r->node->text : "";
	int rc = f->type == FIELD_SECONDS ? units_seconds(text, r->slot, &why)
		 : f->type == FIELD_CPUS  ? units_cpus(text, r->slot, &why)
					  : units_bytes(text, r->slot, &why);
	if (rc)
		return fail(r, r->node, why.text + strlen("expected "));
	double seconds = f->type == FIELD_SECONDS ? *(double *)r->slot : 0;
	if (f->type != FIELD_SECONDS || (seconds >= f->min && seconds <= f->max))
		return 0;
	autofree char *min = print_seconds(f->min), *max = print_seconds(f->max);
	autofree char *expected = mem_printf("a time from %s to %s", min, max);
	return fail(r, r->node, expected);
}

// --- lists and maps -------------------------------------------------------------

static int check_count(const struct reading *r, enum yaml_kind kind, const char *what)
{
	if (r->node->kind != kind)
		return fail(r, r->node, what);
	if ((double)r->node->count > r->field->max)
		return yaml_error(r->node, r->err, "found %zu entries in '%s', expected at most %.0f", r->node->count,
			r->path, r->field->max);
	return 0;
}

static int read_command(const struct reading *r)
{
	struct field_command *command = r->slot;
	const struct yaml *node = r->node;
	static const char expected[] = "a command: a text for the shell, or a list of words";
	if (node->kind == YAML_MAP || (node->kind == YAML_SCALAR && !node->text[strspn(node->text, " \t\r\n")]))
		return fail(r, node, expected);
	if (node->kind == YAML_LIST && !node->count)
		return yaml_error(node, r->err, "found an empty list for '%s', expected %s", r->path, expected);
	command->shell = node->kind == YAML_SCALAR;
	command->words.items = mem_alloc((node->count + 1) * sizeof(char *));
	if (command->shell)
		return read_word(r, node, MAX_WORD, &command->words.items[command->words.count++]);
	for (size_t i = 0; i < node->count; i++) {
		autofree char *path = mem_printf("%s[%zu]", r->path, i);
		struct reading one = {r->field, NULL, path, NULL, r->err};
		if (read_word(&one, node->entries[i].value, MAX_WORD, &command->words.items[command->words.count++]))
			return -1;
	}
	if (!*command->words.items[0])
		return yaml_error(node->entries[0].value, r->err, "found '' for '%s[0]', expected a program", r->path);
	return 0;
}

static int read_texts(const struct reading *r)
{
	struct field_texts *texts = r->slot;
	if (check_count(r, YAML_LIST, "a list of texts"))
		return -1;
	texts->items = mem_alloc((r->node->count + 1) * sizeof(char *));
	for (size_t i = 0; i < r->node->count; i++) {
		autofree char *path = mem_printf("%s[%zu]", r->path, i);
		struct reading one = {r->field, NULL, path, NULL, r->err};
		if (read_text(&one, r->node->entries[i].value, &texts->items[texts->count++]))
			return -1;
	}
	return 0;
}

static int check_name(const struct reading *r, const struct yaml_entry *entry)
{
	if (!r->field->pattern || field_match(r->field->pattern, entry->key))
		return 0;
	autofree char *quoted = yaml_quote(entry->key);
	return yaml_error_at(r->node->file, entry->line, entry->column, r->err,
		"found the name %s in '%s', expected %s", quoted, r->path, r->field->expected);
}

static int read_env(const struct reading *r)
{
	struct field_env *env = r->slot;
	if (check_count(r, YAML_MAP, "a map of names and values"))
		return -1;
	env->items = mem_alloc((r->node->count + 1) * sizeof *env->items);
	for (size_t i = 0; i < r->node->count; i++) {
		const struct yaml_entry *entry = &r->node->entries[i];
		autofree char *path = mem_printf("%s.%s", r->path, entry->key);
		struct field value = {.expected = "a text ('' for an empty one)"};
		struct reading one = {&value, NULL, path, NULL, r->err};
		if (check_name(r, entry))
			return -1;
		struct field_pair *pair = &env->items[env->count++];
		pair->name = mem_strdup(entry->key);
		if (read_word(&one, entry->value, MAX_WORD, &pair->value))
			return -1;
		if (r->field->values && !field_match(r->field->values, pair->value))
			return fail(&one, entry->value, r->field->value_expected);
	}
	return 0;
}

static int read_objects(const struct reading *r)
{
	struct field_objects *list = r->slot;
	const struct field_shape *shape = r->field->shape;
	bool named = r->field->type == FIELD_NAMED;
	if (check_count(r, named ? YAML_MAP : YAML_LIST, named ? "a map of names" : "a list"))
		return -1;
	if (named && !r->node->count)
		return yaml_error(r->node, r->err, "found an empty map for '%s', expected at least one name", r->path);
	list->items = mem_alloc((r->node->count + 1) * shape->size);
	for (size_t i = 0; i < r->node->count; i++) {
		const struct yaml_entry *entry = &r->node->entries[i];
		autofree char *path =
			named ? mem_printf("%s.%s", r->path, entry->key) : mem_printf("%s[%zu]", r->path, i);
		struct field_place *item = (void *)((char *)list->items + shape->size * list->count++);
		if (named && check_name(r, entry))
			return -1;
		int rc = field_read(shape, entry->value, path, item, r->err);
		item->name = named ? mem_strdup(entry->key) : NULL;
		if (rc)
			return -1;
	}
	return 0;
}

// --- a map of known keys ---------------------------------------------------------

const struct field *field_find(const struct field_shape *shape, const char *key)
{
	for (const struct field *f = shape->fields; f->key; f++)
		if (strcmp(f->key, key) == 0)
			return f;
	return NULL;
}

static const char *nearest_key(const struct field_shape *shape, const char *key, bool elsewhere)
{
	const char *names[MAX_KEYS];
	size_t count = 0;
	for (const struct field *f = shape->fields; f->key && count < MAX_KEYS - 1; f++)
		names[count++] = f->key;
	names[count] = NULL;
	return elsewhere ? did_you_mean_elsewhere(key, names) : did_you_mean(key, names);
}

// The path of the nearest key so many maps below this one, owned by the caller; NULL when none is near.
static char *nearest_path(const struct field_shape *shape, const char *key, int depth)
{
	const char *nearest = depth ? NULL : nearest_key(shape, key, true);
	if (nearest)
		return mem_strdup(nearest);
	for (const struct field *f = shape->fields; depth && f->key; f++) {
		autofree char *below = f->shape ? nearest_path(f->shape, key, depth - 1) : NULL;
		if (below)
			return mem_printf("%s%s.%s", f->key,
				f->type == FIELD_OBJECTS ? "[N]"
				: f->type == FIELD_NAMED ? ".NAME"
							 : "",
				below);
	}
	return NULL;
}

int field_unknown(const struct field_shape *shape, const char *key, const char *path, const struct yaml_origin *at,
	struct error *err)
{
	autostr struct str known = {0};
	for (const struct field *f = shape->fields; f->key; f++)
		str_printf(&known, "%s%s", f == shape->fields ? "" : ", ", f->key);
	const char *here = nearest_key(shape, key, false);
	autofree char *nearest = here ? mem_strdup(here) : NULL;
	for (int depth = 0; !nearest && depth < 3; depth++)
		nearest = nearest_path(shape->top ? shape->top : shape, key, depth);
	autofree char *quoted = yaml_quote(key), *hint = did_you_mean_text(" (", nearest, ")");
	autofree char *where = *path ? mem_printf(" in '%s'", path) : mem_strdup("");
	return yaml_error_at(at->file, at->line, at->column, err, "found the unknown key %s%s, expected one of %s%s",
		quoted, where, known.text, hint);
}

static void set_absent(const struct field *field, void *slot)
{
	switch (field->type) {
	case FIELD_INT:
		*(long *)slot = -1;
		break;
	case FIELD_BOOL:
	case FIELD_CHOICE:
		*(int *)slot = -1;
		break;
	case FIELD_SECONDS:
	case FIELD_CPUS:
		*(double *)slot = -1;
		break;
	case FIELD_BYTES:
		*(long long *)slot = -1;
		break;
	default: // the zeroes that are there
		break;
	}
}

static int read_value(const struct reading *r)
{
	switch (r->field->type) {
	case FIELD_TEXT:
		return read_text(r, r->node, r->slot);
	case FIELD_REGEX:
		return read_regex(r);
	case FIELD_INT:
		return read_int(r);
	case FIELD_BOOL:
		return read_bool(r);
	case FIELD_CHOICE:
		return read_choice(r);
	case FIELD_SECONDS:
	case FIELD_CPUS:
	case FIELD_BYTES:
		return read_quantity(r);
	case FIELD_COMMAND:
		return read_command(r);
	case FIELD_TEXTS:
		return read_texts(r);
	case FIELD_ENV:
		return read_env(r);
	case FIELD_TREE:
		*(struct yaml **)r->slot = r->node;
		return 0;
	case FIELD_OBJECT:
		return field_read(r->field->shape, r->node, r->path, r->slot, r->err);
	case FIELD_OBJECTS:
	case FIELD_NAMED:
		return read_objects(r);
	}
	return error_set(r->err, ERROR_SYSTEM, "field '%s' has no type", r->field->key);
}

static int read_field(const struct field *field, struct yaml *map, const char *path, void *slot, struct error *err)
{
	struct yaml *node = map ? yaml_find(map, field->key) : NULL;
	autofree char *below = *path ? mem_printf("%s.%s", path, field->key) : mem_strdup(field->key);
	set_absent(field, slot);
	if (node && !yaml_is_null(node))
		return read_value(&(struct reading){field, node, below, slot, err});
	if (field->required && map) // of a map that is not there nothing is
		return yaml_error(node ? node : map, err, "found no '%s', expected %s", below,
			field->expected ? field->expected : "one");
	if (field->type == FIELD_OBJECT)
		return field_read(field->shape, NULL, below, slot, err);
	if (!field->fallback)
		return 0;
	struct yaml *fallback = yaml_new(field->fallback, "default", 1, 1);
	fallback->plain = true;
	int rc = read_value(&(struct reading){field, fallback, below, slot, err});
	yaml_discard(fallback);
	return rc;
}

int field_read(const struct field_shape *shape, struct yaml *node, const char *path, void *out, struct error *err)
{
	if (node && shape->shorthand && node->kind != YAML_MAP && !yaml_is_null(node))
		yaml_wrap(node, shape->shorthand);
	if (node && node->kind != YAML_MAP) {
		autofree char *found = yaml_describe(node);
		return yaml_error(node, err, "found %s%s%s%s, expected a map of keys and values", found,
			*path ? " for '" : "", path, *path ? "'" : "");
	}
	((struct field_place *)out)->node = node;
	for (size_t i = 0; node && i < node->count; i++) {
		const struct yaml_entry *entry = &node->entries[i];
		if (!field_find(shape, entry->key))
			return field_unknown(shape, entry->key, path,
				&(struct yaml_origin){entry->value->file, entry->line, entry->column}, err);
	}
	for (const struct field *f = shape->fields; f->key; f++)
		if (read_field(f, node, path, (char *)out + f->offset, err))
			return -1;
	return 0;
}

json_t *field_env_json(const struct field_env *env)
{
	json_t *map = json_object();
	for (size_t i = 0; i < env->count; i++)
		json_object_set_new(map, env->items[i].name, json_string(env->items[i].value));
	return map;
}

// --- freeing -------------------------------------------------------------------

static void free_texts(struct field_texts *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		free(texts->items[i]);
	free(texts->items);
}

static void free_env(struct field_env *env)
{
	for (size_t i = 0; i < env->count; i++) {
		free(env->items[i].name);
		free(env->items[i].value);
	}
	free(env->items);
}

static void free_objects(const struct field_shape *shape, struct field_objects *list)
{
	for (size_t i = 0; i < list->count; i++)
		field_free(shape, (char *)list->items + shape->size * i);
	free(list->items);
}

void field_free(const struct field_shape *shape, void *out)
{
	free(((struct field_place *)out)->name);
	for (const struct field *f = shape->fields; f->key; f++) {
		void *slot = (char *)out + f->offset;
		if (f->type == FIELD_TEXT || f->type == FIELD_REGEX)
			free(*(char **)slot);
		else if (f->type == FIELD_COMMAND)
			free_texts(&((struct field_command *)slot)->words);
		else if (f->type == FIELD_TEXTS)
			free_texts(slot);
		else if (f->type == FIELD_ENV)
			free_env(slot);
		else if (f->type == FIELD_OBJECTS || f->type == FIELD_NAMED)
			free_objects(f->shape, slot);
		else if (f->type == FIELD_OBJECT)
			field_free(f->shape, slot);
	}
}
