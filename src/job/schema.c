#include "job/schema.h"

#include "base/mem.h"

#include <string.h>

#define NUMBER "[0-9]+(\\.[0-9]+)?"

static json_t *object_schema(const struct field_shape *shape);

static json_t *text_or(const char *other, const char *pattern)
{
	return mem_json("{s:[s, s], s:s}", "type", "string", other, "pattern", pattern);
}

static json_t *command_schema(void)
{
	return mem_json("{s:[{s:s, s:i}, {s:s, s:i, s:{s:[s, s, s]}}]}", "anyOf", "type", "string", "minLength", 1,
		"type", "array", "minItems", 1, "items", "type", "string", "number", "boolean");
}

static json_t *map_schema(const struct field *field, json_t *value)
{
	json_t *map = mem_json(
		"{s:s, s:o, s:i}", "type", "object", "additionalProperties", value, "maxProperties", (int)field->max);
	if (field->pattern)
		json_object_set_new(map, "propertyNames", mem_json("{s:s}", "pattern", field->pattern));
	return map;
}

// The shape's map, or what stands for its shorthand key.
static json_t *item_schema(const struct field_shape *shape)
{
	json_t *object = object_schema(shape);
	if (!shape->shorthand)
		return object;
	json_t *brief = json_deep_copy(json_object_get(json_object_get(object, "properties"), shape->shorthand));
	return mem_json("{s:[o, o]}", "anyOf", brief, object);
}

static json_t *text_schema(const struct field *field)
{
	json_t *text = mem_json("{s:s, s:i}", "type", "string", "minLength", 1);
	if (field->pattern)
		json_object_set_new(text, "pattern", json_string(field->pattern));
	return text;
}

static json_t *choice_schema(const struct field *field)
{
	json_t *names = json_array();
	for (size_t i = 0; field->choices[i]; i++)
		json_array_append_new(names, json_string(field->choices[i]));
	return mem_json("{s:o}", "enum", names);
}

static json_t *value_schema(const struct field *field)
{
	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_REGEX:
		return text_schema(field);
	case FIELD_INT:
		return mem_json("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)field->min, "maximum",
			(json_int_t)field->max);
	case FIELD_BOOL:
		return mem_json("{s:s}", "type", "boolean");
	case FIELD_CHOICE:
		return choice_schema(field);
	case FIELD_SECONDS:
		return text_or("number",
			"^(" NUMBER "|(" NUMBER "d)?(" NUMBER "h)?(" NUMBER "m)?(" NUMBER "s)?(" NUMBER "ms)?)$");
	case FIELD_CPUS:
		return text_or("number", "^" NUMBER "m?$");
	case FIELD_BYTES:
		return text_or("integer", "^" NUMBER "([eE][+-]?[0-9]+)?(k|[MGTPE]|[KMGTPE]i)?$");
	case FIELD_COMMAND:
		return command_schema();
	case FIELD_TEXTS:
		return mem_json(
			"{s:s, s:o, s:i}", "type", "array", "items", text_schema(field), "maxItems", (int)field->max);
	case FIELD_ENV:
		return map_schema(field, mem_json("{s:[s, s, s], s:s*}", "type", "string", "number", "boolean",
						 "pattern", field->values));
	case FIELD_TREE:
		return json_object();
	case FIELD_OBJECT:
		return item_schema(field->shape);
	case FIELD_OBJECTS:
		return mem_json("{s:s, s:o, s:i}", "type", "array", "items", item_schema(field->shape), "maxItems",
			(int)field->max);
	case FIELD_NAMED:
		return map_schema(field, item_schema(field->shape));
	}
	return json_object();
}

// The default as the type it has.
static json_t *fallback_value(const struct field *field)
{
	if (field->type == FIELD_BOOL)
		return json_boolean(strcmp(field->fallback, "true") == 0);
	if (field->type == FIELD_INT || field->type == FIELD_SECONDS)
		return json_loads(field->fallback, JSON_DECODE_ANY, NULL);
	return json_string(field->fallback);
}

static json_t *object_schema(const struct field_shape *shape)
{
	json_t *properties = json_object(), *required = json_array();
	for (const struct field *f = shape->fields; f->key; f++) {
		json_t *value = value_schema(f);
		json_object_set_new(value, "description", json_string(f->help));
		json_t *fallback = f->fallback ? fallback_value(f) : NULL;
		if (fallback)
			json_object_set_new(value, "default", fallback);
		json_object_set_new(properties, f->key, value);
		if (f->required)
			json_array_append_new(required, json_string(f->key));
	}
	json_t *object =
		mem_json("{s:s, s:o, s:b}", "type", "object", "properties", properties, "additionalProperties", 0);
	if (json_array_size(required))
		json_object_set(object, "required", required);
	json_decref(required);
	return object;
}

json_t *schema_make(const struct field_shape *shape, const char *title)
{
	json_t *schema = mem_json("{s:s, s:s}", "$schema", "http://json-schema.org/draft-07/schema#", "title", title);
	autojson json_t *object = object_schema(shape);
	json_object_update(schema, object);
	return schema;
}
