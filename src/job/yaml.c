#include "job/yaml.h"

#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct anchor {
	char *name;
	const struct yaml *node; // NULL while it is being read
};

struct reader {
	yaml_parser_t parser;
	const char *text;
	size_t len;
	const struct yaml_origin *origin;
	struct anchor *anchors;
	size_t nanchors;
	json_t *names; // of anchors: name -> index of the last one
	struct yaml_limits limits;
	size_t nodes;
	struct error *err;
};

static void set_position(char *out, size_t size, const char *file, int line, int column)
{
	if (line > 0)
		snprintf(out, size, "%s:%d:%d", file, line, column);
	else
		snprintf(out, size, "%s: column %d", file, column);
}

static void set_error(const char *file, int line, int column, struct error *err, const char *fmt, va_list ap)
{
	char where[512], what[sizeof err->text];
	set_position(where, sizeof where, file, line, column);
	vsnprintf(what, sizeof what, fmt, ap);
	error_set(err, ERROR_USAGE, "%s: %s", where, what);
}

int yaml_error(const struct yaml *node, struct error *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	set_error(node->file, node->line, node->column, err, fmt, ap);
	va_end(ap);
	return -1;
}

int yaml_error_at(const char *file, int line, int column, struct error *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	set_error(file, line, column, err, fmt, ap);
	va_end(ap);
	return -1;
}

char *yaml_quote(const char *bytes)
{
	enum { MAX = 60 };
	autofree char *text = str_utf8_clean(bytes, strlen(bytes));
	size_t len = strlen(text), shown = len;
	if (len > MAX)
		shown = str_utf8_valid(text, MAX);
	autostr struct str s = {0};
	str_puts(&s, "'");
	for (size_t i = 0; i < shown; i++) {
		if (text[i] == '\n')
			str_puts(&s, "\\n");
		else if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			str_printf(&s, "\\x%02x", (unsigned char)text[i]);
		else
			str_add(&s, text + i, 1);
	}
	str_puts(&s, shown < len ? "...'" : "'");
	return str_steal(&s);
}

// {rank} without quotes is a map, though hardly anybody means one.
static char *describe_braces(const char *key)
{
	size_t len = strlen(key);
	return mem_printf(
		"the map {%.*s}, which is a text only in quotes,", (int)str_utf8_valid(key, len < 40 ? len : 40), key);
}

char *yaml_describe(const struct yaml *node)
{
	if (node->kind == YAML_LIST)
		return mem_strdup("a list");
	if (node->kind == YAML_MAP && node->count == 1 && yaml_is_null(node->entries[0].value))
		return describe_braces(node->entries[0].key);
	if (node->kind == YAML_MAP)
		return mem_strdup("a map");
	if (yaml_is_null(node))
		return mem_strdup("nothing");
	return yaml_quote(node->text);
}

static void add_quoted(struct str *out, const char *text)
{
	str_puts(out, "\"");
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			str_printf(out, "\\%c", *text);
		else if ((unsigned char)*text < 0x20 || *text == 0x7f)
			str_printf(out, "\\x%02x", (unsigned char)*text);
		else
			str_add(out, text, 1);
	}
	str_puts(out, "\"");
}

static void add_flow(struct str *out, const struct yaml *node)
{
	bool map = node->kind == YAML_MAP;
	if (node->kind == YAML_SCALAR) {
		// Plain is what stays the same without quotes wherever it stands.
		if (node->plain &&
			!node->text[strspn(
				node->text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/+%-")] &&
			node->text[0] != '-')
			str_puts(out, node->text);
		else
			add_quoted(out, node->text);
		return;
	}
	str_puts(out, map ? "{" : "[");
	for (size_t i = 0; i < node->count; i++) {
		str_puts(out, i ? ", " : "");
		if (map) {
			add_quoted(out, node->entries[i].key);
			str_puts(out, ": ");
		}
		add_flow(out, node->entries[i].value);
	}
	str_puts(out, map ? "}" : "]");
}

char *yaml_flow(const struct yaml *node)
{
	struct str out = {0};
	add_flow(&out, node);
	return str_steal(&out);
}

static void add_block(struct str *out, const struct yaml *node, int indent)
{
	for (size_t i = 0; i < node->count; i++) {
		const struct yaml_entry *entry = &node->entries[i];
		const struct yaml *value = entry->value;
		bool block = value->kind != YAML_SCALAR && value->count > 0;
		str_printf(out, "%*s", indent, "");
		if (node->kind == YAML_LIST) {
			str_puts(out, "- ");
		} else {
			struct yaml key = {.kind = YAML_SCALAR, .plain = true, .text = entry->key};
			add_flow(out, &key);
			str_puts(out, block && indent < 2 ? ":" : ": ");
		}
		if (block && node->kind == YAML_MAP && indent < 2) {
			str_puts(out, "\n");
			add_block(out, value, indent + 2);
			continue;
		}
		add_flow(out, value);
		str_puts(out, "\n");
	}
}

char *yaml_print(const struct yaml *map)
{
	struct str out = {0};
	add_block(&out, map, 0);
	return str_steal(&out);
}

// A whole number as YAML writes it, or NULL.
static json_t *whole_number(const char *text)
{
	bool octal = str_starts(text, "0o");
	const char *digits = text + (octal ? 2 : strspn(text, "+-") == 1);
	char *end;
	errno = 0;
	long long value = strtoll(octal ? digits : text, &end, octal ? 8 : 0);
	return isxdigit((unsigned char)*digits) && !*end && !errno ? json_integer(value) : NULL;
}

static json_t *number(const char *text)
{
	const char *digits = text + (strspn(text, "+-") == 1);
	char *end;
	json_t *whole = whole_number(text);
	if (whole || !isdigit((unsigned char)digits[*digits == '.']) || strpbrk(digits, "xX"))
		return whole;
	double value = strtod(text, &end);
	return !*end && isfinite(value) ? json_real(value) : NULL;
}

static json_t *scalar_json(const struct yaml *node)
{
	static const char *const words[] = {"false", "False", "FALSE", "true", "True", "TRUE"};
	if (yaml_is_null(node))
		return json_null();
	for (size_t i = 0; node->plain && i < countof(words); i++)
		if (strcmp(words[i], node->text) == 0)
			return json_boolean(i > 2);
	json_t *value = node->plain ? number(node->text) : NULL;
	return value ? value : json_string(node->text);
}

json_t *yaml_json(const struct yaml *node)
{
	if (node->kind == YAML_SCALAR)
		return scalar_json(node);
	json_t *json = node->kind == YAML_LIST ? json_array() : json_object();
	for (size_t i = 0; i < node->count; i++) {
		const struct yaml_entry *entry = &node->entries[i];
		if (node->kind == YAML_LIST)
			json_array_append_new(json, yaml_json(entry->value));
		else
			json_object_set_new(json, entry->key, yaml_json(entry->value));
	}
	return json;
}

bool yaml_is_null(const struct yaml *node)
{
	if (node->kind != YAML_SCALAR || !node->plain)
		return false;
	const char *t = node->text;
	return !*t || strcmp(t, "~") == 0 || strcmp(t, "null") == 0 || strcmp(t, "Null") == 0 || strcmp(t, "NULL") == 0;
}

struct yaml *yaml_new(const char *text, const char *file, int line, int column)
{
	struct yaml *node = mem_alloc(sizeof *node);
	node->kind = text ? YAML_SCALAR : YAML_MAP;
	node->text = text ? mem_strdup(text) : NULL;
	node->file = file;
	node->line = line;
	node->column = column;
	return node;
}

void yaml_discard(struct yaml *node)
{
	if (!node)
		return;
	for (size_t i = 0; i < node->count; i++) {
		free(node->entries[i].key);
		yaml_discard(node->entries[i].value);
	}
	free(node->entries);
	free(node->text);
	free(node);
}

void yaml_remove(struct yaml *map, const char *key)
{
	for (size_t i = 0; map->kind == YAML_MAP && i < map->count; i++) {
		if (strcmp(map->entries[i].key, key) != 0)
			continue;
		free(map->entries[i].key);
		yaml_discard(map->entries[i].value);
		memmove(&map->entries[i], &map->entries[i + 1], (map->count - i - 1) * sizeof *map->entries);
		map->count--;
		return;
	}
}

static struct yaml_entry *find_entry(const struct yaml *map, const char *key)
{
	for (size_t i = 0; map->kind == YAML_MAP && i < map->count; i++)
		if (strcmp(map->entries[i].key, key) == 0)
			return &map->entries[i];
	return NULL;
}

struct yaml *yaml_find(const struct yaml *map, const char *key)
{
	struct yaml_entry *entry = find_entry(map, key);
	return entry ? entry->value : NULL;
}

static void append(struct yaml *node, struct yaml_entry entry)
{
	if ((node->count & (node->count - 1)) == 0)
		node->entries = mem_resize(node->entries, (node->count ? 2 * node->count : 1) * sizeof entry);
	node->entries[node->count++] = entry;
}

void yaml_put(struct yaml *map, const char *key, int line, int column, struct yaml *value)
{
	struct yaml_entry *entry = key ? find_entry(map, key) : NULL;
	if (entry) {
		yaml_discard(entry->value);
		entry->value = value;
		entry->line = line;
		entry->column = column;
		return;
	}
	append(map, (struct yaml_entry){key ? mem_strdup(key) : NULL, line, column, value});
}

void yaml_wrap(struct yaml *node, const char *key)
{
	struct yaml *inner = mem_alloc(sizeof *inner);
	*inner = *node;
	node->kind = YAML_MAP;
	node->plain = false;
	node->text = NULL;
	node->entries = NULL;
	node->count = 0;
	yaml_put(node, key, node->line, node->column, inner);
}

// --- reading ------------------------------------------------------------------

static void place(const struct yaml_origin *origin, yaml_mark_t mark, int *line, int *column)
{
	*line = origin->line + (int)mark.line;
	*column = (int)mark.column + (mark.line ? 1 : origin->column);
}

static int fail_at(struct reader *r, yaml_mark_t mark, const char *what)
{
	int line, column;
	place(r->origin, mark, &line, &column);
	return yaml_error_at(r->origin->file, line, column, r->err, "%s", what);
}

// The mark of a byte, for what libyaml only gives an offset for.
static yaml_mark_t mark_of(const char *text, size_t offset)
{
	yaml_mark_t mark = {.index = offset};
	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n') {
			mark.line++;
			mark.column = 0;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			mark.column++;
		}
	}
	return mark;
}

// libyaml's index counts characters, not bytes.
static char char_at(const struct reader *r, size_t index)
{
	for (size_t i = 0; i < r->len; i++)
		if (((unsigned char)r->text[i] & 0xc0) != 0x80 && index-- == 0)
			return r->text[i];
	return 0;
}

static int fail_parser(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	if (p->error == YAML_READER_ERROR) {
		autofree char *what =
			mem_printf("found a control character (0x%02x), expected text", (unsigned)p->problem_value);
		return fail_at(r, mark_of(r->text, p->problem_offset), what);
	}
	if (char_at(r, p->problem_mark.index) == '\t')
		return fail_at(r, p->problem_mark, "found a tab, expected blanks: YAML is not indented with tabs");
	int line, column;
	place(r->origin, p->context_mark, &line, &column);
	autofree char *context =
		p->context && line > 0 ? mem_printf(" (%s that began at line %d)", p->context, line) : mem_strdup("");
	autofree char *what =
		mem_printf("found no valid YAML: %s%s", p->problem ? p->problem : "syntax error", context);
	return fail_at(r, p->problem_mark, what);
}

static int next(struct reader *r, yaml_event_t *event)
{
	return yaml_parser_parse(&r->parser, event) ? 0 : fail_parser(r);
}

static struct yaml *make(struct reader *r, enum yaml_kind kind, yaml_mark_t mark)
{
	if (++r->nodes > r->limits.nodes) {
		autofree char *what = mem_printf(
			"found more than %zu values (with aliases expanded), expected fewer", r->limits.nodes);
		fail_at(r, mark, what);
		return NULL;
	}
	struct yaml *node = mem_alloc(sizeof *node);
	node->kind = kind;
	node->file = r->origin->file;
	place(r->origin, mark, &node->line, &node->column);
	return node;
}

static struct yaml *copy(struct reader *r, const struct yaml *from, yaml_mark_t mark, int depth)
{
	if (depth > YAML_MAX_DEPTH) {
		fail_at(r, mark, "found lists and maps nested too deep, expected at most 32 levels");
		return NULL;
	}
	struct yaml *node = make(r, from->kind, mark);
	if (!node)
		return NULL;
	node->plain = from->plain;
	node->line = from->line;
	node->column = from->column;
	node->text = from->text ? mem_strdup(from->text) : NULL;
	for (size_t i = 0; i < from->count; i++) {
		const struct yaml_entry *entry = &from->entries[i];
		struct yaml *value = copy(r, entry->value, mark, depth + 1);
		if (!value) {
			yaml_discard(node);
			return NULL;
		}
		append(node, (struct yaml_entry){
				     entry->key ? mem_strdup(entry->key) : NULL, entry->line, entry->column, value});
	}
	return node;
}

static struct anchor *find_anchor(struct reader *r, const char *name)
{
	const json_t *index = json_object_get(r->names, name);
	return index ? &r->anchors[json_integer_value(index)] : NULL;
}

static struct yaml *read_alias(struct reader *r, const yaml_event_t *event, int depth)
{
	const char *name = (const char *)event->data.alias.anchor;
	const struct anchor *anchor = find_anchor(r, name);
	if (anchor && anchor->node)
		return copy(r, anchor->node, event->start_mark, depth);
	autofree char *what =
		anchor ? mem_printf("found the alias '*%s' inside of what it stands for, expected no loops", name)
		       : mem_printf("found the alias '*%s', expected '&%s' before it", name, name);
	fail_at(r, event->start_mark, what);
	return NULL;
}

static int check_tag(struct reader *r, const yaml_char_t *tag, enum yaml_kind kind, yaml_mark_t mark)
{
	static const char *const known[] = {YAML_STR_TAG, YAML_SEQ_TAG, YAML_MAP_TAG};
	if (!tag || strcmp((const char *)tag, "!") == 0 || strcmp((const char *)tag, known[kind]) == 0)
		return 0;
	autofree char *what = mem_printf("found the tag '%.60s', expected none", (const char *)tag);
	return fail_at(r, mark, what);
}

static struct yaml *read_scalar(struct reader *r, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	if (strlen(text) != event->data.scalar.length) {
		fail_at(r, event->start_mark, "found a NUL character in a text, expected none");
		return NULL;
	}
	if (check_tag(r, event->data.scalar.tag, YAML_SCALAR, event->start_mark))
		return NULL;
	struct yaml *node = make(r, YAML_SCALAR, event->start_mark);
	if (!node)
		return NULL;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !event->data.scalar.tag;
	node->text = mem_strdup(text);
	return node;
}

static struct yaml *read_node(struct reader *r, const yaml_event_t *event, int depth);

// keys: those of the map so far and the index of each.
static int read_key(
	struct reader *r, const struct yaml *map, json_t *keys, const yaml_event_t *event, struct yaml_entry *entry)
{
	if (event->type != YAML_SCALAR_EVENT ||
		strlen((const char *)event->data.scalar.value) != event->data.scalar.length)
		return fail_at(r, event->start_mark, "found a key that is no text, expected a text");
	entry->key = mem_strdup((const char *)event->data.scalar.value);
	place(r->origin, event->start_mark, &entry->line, &entry->column);
	const json_t *known = json_object_get(keys, entry->key);
	if (!known)
		return json_object_set_new_nocheck(keys, entry->key, json_integer((json_int_t)map->count));
	const struct yaml_entry *before = &map->entries[json_integer_value(known)];
	autofree char *quoted = yaml_quote(entry->key);
	autofree char *first = before->line > 0 ? mem_printf(" (first on line %d)", before->line) : mem_strdup("");
	return yaml_error_at(map->file, entry->line, entry->column, r->err,
		"found the key %s a second time%s, expected each key once", quoted, first);
}

static int read_entries(struct reader *r, struct yaml *node, int depth)
{
	yaml_event_type_t end = node->kind == YAML_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
	autojson json_t *keys = node->kind == YAML_MAP ? json_object() : NULL;
	for (;;) {
		yaml_event_t event;
		struct yaml_entry entry = {0};
		if (next(r, &event))
			return -1;
		bool done = event.type == end;
		int rc = 0;
		if (!done && node->kind == YAML_MAP) {
			rc = read_key(r, node, keys, &event, &entry);
			yaml_event_delete(&event);
			if (!rc)
				rc = next(r, &event);
		}
		if (!done && !rc) {
			entry.value = read_node(r, &event, depth + 1);
			rc = entry.value ? 0 : -1;
		}
		yaml_event_delete(&event); // may have been deleted above: then it is empty
		if (rc)
			free(entry.key);
		if (done || rc)
			return rc;
		append(node, entry);
	}
}

static void add_anchor(struct reader *r, const yaml_char_t *name)
{
	if ((r->nanchors & (r->nanchors - 1)) == 0)
		r->anchors = mem_resize(r->anchors, (r->nanchors ? 2 * r->nanchors : 1) * sizeof *r->anchors);
	json_object_set_new_nocheck(r->names, (const char *)name, json_integer((json_int_t)r->nanchors));
	r->anchors[r->nanchors++] = (struct anchor){mem_strdup((const char *)name), NULL};
}

static struct yaml *read_collection(struct reader *r, const yaml_event_t *event, int depth)
{
	bool map = event->type == YAML_MAPPING_START_EVENT;
	const yaml_char_t *tag = map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
	if (check_tag(r, tag, map ? YAML_MAP : YAML_LIST, event->start_mark))
		return NULL;
	if (depth > YAML_MAX_DEPTH) {
		fail_at(r, event->start_mark, "found lists and maps nested too deep, expected at most 32 levels");
		return NULL;
	}
	struct yaml *node = make(r, map ? YAML_MAP : YAML_LIST, event->start_mark);
	if (node && read_entries(r, node, depth)) {
		yaml_discard(node);
		return NULL;
	}
	return node;
}

static struct yaml *read_node(struct reader *r, const yaml_event_t *event, int depth)
{
	if (event->type == YAML_ALIAS_EVENT)
		return read_alias(r, event, depth);
	const yaml_char_t *name = event->type == YAML_SCALAR_EVENT          ? event->data.scalar.anchor
				  : event->type == YAML_MAPPING_START_EVENT ? event->data.mapping_start.anchor
									    : event->data.sequence_start.anchor;
	size_t at = r->nanchors;
	if (name)
		add_anchor(r, name);
	struct yaml *node = event->type == YAML_SCALAR_EVENT ? read_scalar(r, event) : read_collection(r, event, depth);
	if (name)
		r->anchors[at].node = node;
	return node;
}

// Takes events up to and with one of that type. Everything before it must be of the stream's frame.
static int expect(struct reader *r, yaml_event_type_t type, const char *what)
{
	yaml_event_t event;
	if (next(r, &event))
		return -1;
	yaml_event_type_t found = event.type;
	yaml_mark_t mark = event.start_mark;
	yaml_event_delete(&event);
	return found == type ? 0 : fail_at(r, mark, what);
}

static struct yaml *read_document(struct reader *r)
{
	static const char *const nothing = "found nothing, expected a map of keys and values";
	if (expect(r, YAML_STREAM_START_EVENT, nothing) || expect(r, YAML_DOCUMENT_START_EVENT, nothing))
		return NULL;
	yaml_event_t event;
	if (next(r, &event))
		return NULL;
	struct yaml *node = read_node(r, &event, 1);
	yaml_event_delete(&event);
	if (!node)
		return NULL;
	if (expect(r, YAML_DOCUMENT_END_EVENT, "found more, expected the end of the document") ||
		expect(r, YAML_STREAM_END_EVENT, "found a second document, expected one")) {
		yaml_discard(node);
		return NULL;
	}
	return node;
}

static int check_bytes(struct reader *r)
{
	if (r->len > r->limits.bytes)
		return error_set(r->err, ERROR_USAGE, "%s: found %zu bytes, expected at most %zu MiB", r->origin->file,
			r->len, r->limits.bytes >> 20);
	size_t valid = str_utf8_valid(r->text, r->len);
	const char *nul = memchr(r->text, 0, valid);
	if (nul)
		return fail_at(r, mark_of(r->text, (size_t)(nul - r->text)), "found a NUL byte, expected text");
	if (valid == r->len)
		return 0;
	autofree char *what =
		mem_printf("found the byte 0x%02x, expected text in UTF-8", (unsigned char)r->text[valid]);
	return fail_at(r, mark_of(r->text, valid), what);
}

struct yaml *yaml_parse(const char *text, size_t len, const struct yaml_origin *origin, struct error *err)
{
	return yaml_parse_large(text, len, origin, (struct yaml_limits){YAML_MAX_BYTES, YAML_MAX_NODES}, err);
}

struct yaml *yaml_parse_large(
	const char *text, size_t len, const struct yaml_origin *origin, struct yaml_limits limits, struct error *err)
{
	struct reader r = {.text = text, .len = len, .origin = origin, .limits = limits, .err = err};
	if (check_bytes(&r))
		return NULL;
	if (!yaml_parser_initialize(&r.parser)) {
		error_set(err, ERROR_SYSTEM, "%s: cannot start the YAML parser", origin->file);
		return NULL;
	}
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	r.names = json_object();
	struct yaml *node = read_document(&r);
	yaml_parser_delete(&r.parser);
	for (size_t i = 0; i < r.nanchors; i++)
		free(r.anchors[i].name);
	free(r.anchors);
	json_decref(r.names);
	return node;
}
