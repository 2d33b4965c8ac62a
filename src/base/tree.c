#include "base/tree.h"

#include <string.h>

const char *tree_text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

double tree_number(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

bool tree_has(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	return value && !json_is_null(value);
}

bool tree_is(const json_t *object, const char *name, const char *word)
{
	const char *have = tree_text(object, name);
	return have && word && strcmp(have, word) == 0;
}

size_t tree_count(const json_t *object, const char *name)
{
	return json_array_size(json_object_get(object, name));
}

long tree_whole(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	json_int_t whole = json_is_integer(value) ? json_integer_value(value) : -1;
	return whole >= 0 && whole < TREE_NUMBERS ? (long)whole : -1;
}
