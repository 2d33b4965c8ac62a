#include "wire/event.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "wire/event_types.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// An exit event carries its rank's last lines and a receipt whatever was found: generous, and still nothing a peer
// could exhaust memory with.
enum { LINE_MAX_BYTES = 4 << 20, DEPTH_MAX = 32 };

// Year 5138: what is later is a mistake, and nobody need guard against it when it becomes a date.
static const double ts_end = 1e11;

// --- making -----------------------------------------------------------------

// Jansson's own packer refuses a text that is not UTF-8 and a number that is not finite, after it has taken the
// references it was given. A file name or the cut end of an error text must not end a controller, so events are packed
// here: such bytes become U+FFFD, NaN null.
struct packer {
	const char *fmt;
	va_list ap;
};

static char next_token(struct packer *p)
{
	while (*p->fmt && (isspace((unsigned char)*p->fmt) || *p->fmt == ':' || *p->fmt == ','))
		p->fmt++;
	return *p->fmt ? *p->fmt++ : '\0';
}

// The mark after a value: '?' NULL becomes null, '*' NULL leaves the member out, '#' and '%' a length follows.
static char next_mark(struct packer *p)
{
	return *p->fmt && strchr("?*#%", *p->fmt) ? *p->fmt++ : '\0';
}

static _Noreturn void bad_format(const struct packer *p)
{
	fprintf(stderr, "muster: wrong format of an event before '%s'\n", p->fmt);
	abort();
}

static json_t *pack_text(struct packer *p, char mark)
{
	const char *text = va_arg(p->ap, const char *);
	size_t len = 0;
	if (mark == '#')
		len = (size_t)va_arg(p->ap, int);
	else if (mark == '%')
		len = va_arg(p->ap, size_t);
	else if (text)
		len = strlen(text);
	if (!text)
		return mark == '*' ? NULL : json_null();
	autofree char *clean = str_utf8_clean(text, len);
	return json_string(clean);
}

static json_t *pack_tree(json_t *tree, char mark, bool taken)
{
	if (!tree)
		return mark == '*' ? NULL : json_null();
	return taken ? tree : json_incref(tree);
}

static json_t *pack_real(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *pack_value(struct packer *p, char token);

// Members up to the end character.
static json_t *pack_object(struct packer *p, char end)
{
	json_t *object = json_object();
	for (char token; (token = next_token(p)) != end;) {
		if (token != 's')
			bad_format(p);
		const char *key = va_arg(p->ap, const char *);
		json_t *value = pack_value(p, next_token(p));
		if (value)
			json_object_set_new(object, key, value);
	}
	return object;
}

static json_t *pack_array(struct packer *p)
{
	json_t *array = json_array();
	for (char token; (token = next_token(p)) != ']';) {
		json_t *value = pack_value(p, token);
		if (value)
			json_array_append_new(array, value);
	}
	return array;
}

static json_t *pack_value(struct packer *p, char token)
{
	switch (token) {
	case 's':
		return pack_text(p, next_mark(p));
	case 'i':
		return json_integer(va_arg(p->ap, int));
	case 'I':
		return json_integer(va_arg(p->ap, json_int_t));
	case 'f':
		return pack_real(va_arg(p->ap, double));
	case 'b':
		return json_boolean(va_arg(p->ap, int));
	case 'n':
		return json_null();
	case 'o':
	case 'O': {
		char mark = next_mark(p);
		return pack_tree(va_arg(p->ap, json_t *), mark, token == 'o');
	}
	case '{':
		return pack_object(p, '}');
	case '[':
		return pack_array(p);
	default:
		bad_format(p);
	}
}

json_t *event_make(const char *type, const char *fmt, ...)
{
	struct packer p = {.fmt = fmt};
	va_start(p.ap, fmt);
	autojson json_t *members = pack_object(&p, '\0');
	va_end(p.ap);
	json_t *event = mem_json("{s:f, s:s}", "ts", clock_wall(), "type", type);
	json_object_update(event, members);
	return event;
}

// --- printing and parsing ---------------------------------------------------

char *event_print(const json_t *event)
{
	// 16 digits keep the microseconds of ts and print 0.1 as 0.1.
	autofree char *text = json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(16));
	return mem_printf("%s\n", text ? text : "{}");
}

// Jansson allows 2048 levels, each some frames of stack, here and in every later walk.
static bool is_deep(const char *line, size_t len)
{
	int depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < len; i++) {
		char c = line[i];
		if (quoted) {
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		} else if (c == '"') {
			quoted = true;
		} else if (c == '{' || c == '[') {
			if (++depth > DEPTH_MAX)
				return true;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return false;
}

json_t *event_parse(const char *line, size_t len, struct error *err)
{
	if (len > LINE_MAX_BYTES) {
		error_set(err, ERROR_SYSTEM, "an event of %zu bytes, expected at most %d", len, LINE_MAX_BYTES);
		return NULL;
	}
	if (is_deep(line, len)) {
		error_set(err, ERROR_SYSTEM, "an event nested deeper than %d levels", DEPTH_MAX);
		return NULL;
	}
	json_error_t why;
	autojson json_t *event = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!event) {
		error_set(err, ERROR_SYSTEM, "an event that is not JSON: %s at byte %d", why.text, why.position);
		return NULL;
	}
	if (!json_is_object(event)) {
		error_set(err, ERROR_SYSTEM, "an event that is not an object");
		return NULL;
	}
	const json_t *ts = json_object_get(event, "ts");
	if (!json_is_number(ts) || !(json_number_value(ts) >= 0 && json_number_value(ts) < ts_end)) {
		error_set(err, ERROR_SYSTEM, "an event without 'ts', a number of seconds since 1970");
		return NULL;
	}
	const char *type = event_type(event);
	if (!event_types_find(type)) {
		error_set(err, ERROR_SYSTEM, "an event of the unknown type '%.40s'", type ? type : "");
		return NULL;
	}
	return steal(event);
}

const char *event_type(const json_t *event)
{
	return json_string_value(json_object_get(event, "type"));
}

bool event_is(const json_t *event, const char *type)
{
	const char *have = event_type(event);
	return have && strcmp(have, type) == 0;
}

bool event_is_metric(const json_t *event)
{
	const struct event_type *type = event_types_find(event_type(event));
	return type && type->metric;
}

bool event_is_from_node(const json_t *event)
{
	const struct event_type *type = event_types_find(event_type(event));
	return type && type->writers & EVENT_AGENT;
}
