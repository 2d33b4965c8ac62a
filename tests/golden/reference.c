#include "reference.h"

#include "base/mem.h"
#include "base/str.h"
#include "job/job.h"
#include "job/placeholders.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

enum { SHAPES_MAX = 100, COLUMNS = 100 };

static const struct field_shape *find_shape(const struct field_shape *top, const char *path)
{
	if (strcmp(path, "top") == 0)
		return top;
	autofree char *key = mem_strndup(path, strcspn(path, "."));
	const struct field *field = field_find(top, key);
	if (!field || !field->shape)
		return NULL;
	return path[strlen(key)] ? find_shape(field->shape, path + strlen(key) + 1) : field->shape;
}

static char *type_text(const struct field *f)
{
	switch (f->type) {
	case FIELD_TEXT:
		return mem_strdup("string");
	case FIELD_REGEX:
		return mem_strdup("regular expression");
	case FIELD_INT:
		return mem_printf("number, %ld to %ld", (long)f->min, (long)f->max);
	case FIELD_BOOL:
		return mem_strdup("`true` or `false`");
	case FIELD_SECONDS:
		return mem_strdup("time");
	case FIELD_CPUS:
		return mem_strdup("CPUs");
	case FIELD_BYTES:
		return mem_strdup("size");
	case FIELD_COMMAND:
		return mem_strdup("command");
	case FIELD_TEXTS:
		return mem_strdup("list of strings");
	case FIELD_ENV:
		return mem_strdup("map of strings");
	case FIELD_TREE:
		return mem_strdup(f->expected);
	case FIELD_OBJECT:
		return mem_printf("%s[map](#%s)", f->shape->shorthand ? "string or " : "", f->key);
	case FIELD_OBJECTS:
		return mem_printf("[list](#%s)", f->key);
	case FIELD_NAMED:
		return mem_printf("[map of names](#cluster%s)", f->key);
	case FIELD_CHOICE:
		break;
	}
	autostr struct str s = {0};
	for (size_t i = 0; f->choices[i]; i++)
		str_printf(&s, "%s`%s`", i ? ", " : "", f->choices[i]);
	return str_steal(&s);
}

// The length of the next word, which ends at a blank that is not inside of `code`.
static size_t word_length(const char *text)
{
	bool code = false;
	size_t len = 0;
	for (; text[len] && (code || text[len] != ' '); len++)
		code ^= text[len] == '`';
	return len;
}

// One item of a Markdown list, wrapped.
static void add_item(struct str *out, const char *text)
{
	size_t column = strlen("-");
	str_puts(out, "-");
	for (size_t len; (len = word_length(text)); text += len + (text[len] == ' ')) {
		bool wrap = column + 1 + len > COLUMNS;
		str_puts(out, wrap ? "\n  " : " ");
		str_add(out, text, len);
		column = wrap ? 2 + len : column + 1 + len;
	}
	str_puts(out, "\n");
}

static void add_keys(struct str *out, const struct field_shape *shape)
{
	for (const struct field *f = shape->fields; f->key; f++) {
		autofree char *type = type_text(f);
		autostr struct str s = {0};
		str_printf(&s, "**`%s`** (%s%s): %s", f->key, type, f->required ? ", required" : "", f->help);
		if (f->fallback)
			str_printf(&s, " Default: `%s`.", f->fallback);
		if (f->example)
			str_printf(&s, " Example: `%s`.", f->example);
		add_item(out, s.text);
	}
}

// Maps of different keys: one that stands in two places is described once.
static size_t count_shapes(const struct field_shape *shape, const struct field_shape **seen, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (seen[i] == shape)
			return count;
	assert(count < SHAPES_MAX);
	seen[count++] = shape;
	for (const struct field *f = shape->fields; f->key; f++)
		count = f->shape ? count_shapes(f->shape, seen, count) : count;
	return count;
}

char *reference_fill(const char *page, const struct field_shape *shape, struct error *err)
{
	static const char begin[] = "<!-- keys: ", close[] = " -->\n", end[] = "<!-- end -->";
	autostr struct str out = {0};
	size_t places = 0;
	for (const char *at; (at = strstr(page, begin)); places++) {
		const char *path = at + strlen(begin), *stop = strstr(path, close), *rest = strstr(path, end);
		if (!stop || !rest) {
			error_set(err, ERROR_USAGE, "found '%.30s', expected '-->' and '<!-- end -->' behind it", at);
			return NULL;
		}
		autofree char *name = mem_strndup(path, (size_t)(stop - path));
		const struct field_shape *found = find_shape(shape, name);
		if (!found) {
			error_set(err, ERROR_USAGE, "found '<!-- keys: %s -->', expected the path of a map", name);
			return NULL;
		}
		str_add(&out, page, (size_t)(stop - page) + strlen(close));
		add_keys(&out, found);
		page = rest;
	}
	const struct field_shape *seen[SHAPES_MAX];
	size_t shapes = count_shapes(shape, seen, 0);
	if (places != shapes) {
		error_set(
			err, ERROR_USAGE, "found %zu lists of keys, expected one for each of %zu maps", places, shapes);
		return NULL;
	}
	str_puts(&out, page);
	return str_steal(&out);
}

static void add_placeholders(struct str *out)
{
	str_puts(out, "| placeholder | value | in setup |\n| --- | --- | --- |\n");
	for (size_t i = 0; i < PLACEHOLDER_COUNT; i++) {
		const struct placeholder *p = &placeholders[i];
		autofree char *index = p->index ? mem_printf("[%c]", p->index) : mem_strdup("");
		str_printf(out, "| `{%s%s}` | %s | %s |\n", p->name, index, p->help, p->in_setup);
	}
}

char *reference_fill_placeholders(const char *page, struct error *err)
{
	static const char begin[] = "<!-- placeholders -->\n", end[] = "<!-- end -->";
	const char *at = strstr(page, begin), *rest = at ? strstr(at, end) : NULL;
	autostr struct str out = {0};
	if (!rest) {
		error_set(err, ERROR_USAGE, "found no '<!-- placeholders -->' with '<!-- end -->' behind it");
		return NULL;
	}
	str_add(&out, page, (size_t)(at - page) + strlen(begin));
	add_placeholders(&out);
	str_puts(&out, rest);
	return str_steal(&out);
}
