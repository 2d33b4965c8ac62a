#include "base/json.h"

#include <string.h>

const char *json_text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

const char *json_text_or(const json_t *object, const char *name, const char *fallback)
{
	const char *text = json_text(object, name);
	return text ? text : fallback;
}

double json_number(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

json_int_t json_int(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

bool json_flag(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

bool json_has(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	return value && !json_is_null(value);
}

bool json_is(const json_t *object, const char *name, const char *word)
{
	const char *have = json_text(object, name);
	return have && word && strcmp(have, word) == 0;
}

size_t json_count(const json_t *object, const char *name)
{
	return json_array_size(json_object_get(object, name));
}

long json_whole(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	json_int_t whole = json_is_integer(value) ? json_integer_value(value) : -1;
	return whole >= 0 && whole < JSON_NUMBERS ? (long)whole : -1;
}

bool json_contains(const json_t *texts, const char *text)
{
	size_t i;
	const json_t *item;
	json_array_foreach (texts, i, item)
		if (json_is_string(item) && strcmp(json_string_value(item), text) == 0)
			return true;
	return false;
}

void json_add_once(json_t *texts, const char *text)
{
	if (!json_contains(texts, text))
		json_array_append_new(texts, json_string(text));
}
