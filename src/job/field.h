// Fields: a table of keys and types fills a struct from YAML, and gives errors, the schema and the reference from the
// same rows. It knows no particular key; job.c and site_file.c have the tables.
#ifndef JOB_FIELD_H
#define JOB_FIELD_H

#include "base/error.h"
#include "job/yaml.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum field_type {     // what the struct holds at the offset; what it holds when the key is not given and has no default
	FIELD_TEXT,   // char *                  NULL
	FIELD_REGEX,  // char *                  NULL; a PCRE2 regular expression with a group
	FIELD_INT,    // long                    -1
	FIELD_BOOL,   // int                     -1
	FIELD_CHOICE, // int, index of choices   -1
	FIELD_SECONDS, // double                  -1
	FIELD_CPUS,    // double                  -1
	FIELD_BYTES,   // long long               -1
	FIELD_COMMAND, // struct field_command    count 0
	FIELD_TEXTS,   // struct field_texts      count 0
	FIELD_ENV,     // struct field_env        count 0
	FIELD_TREE,    // struct yaml *           NULL; as it stands, of the file's tree, not owned
	FIELD_OBJECT,  // the struct of the shape, each field as if not given
	FIELD_OBJECTS, // struct field_objects, from a list
	FIELD_NAMED,   // struct field_objects, from a map of names
};

struct field_texts {
	char **items;
	size_t count;
};

struct field_command {
	bool shell; // one text for /bin/sh -c, else argv
	struct field_texts words;
};

struct field_pair {
	char *name, *value;
};

struct field_env {
	struct field_pair *items;
	size_t count;
};

struct field_objects {
	void *items; // structs of the shape's size
	size_t count;
};

// The first member of every struct that a shape describes.
struct field_place {
	const struct yaml *node; // not owned; NULL when the section is not there
	char *name;              // its key in a FIELD_NAMED map, else NULL
};

struct field {
	const char *key;
	enum field_type type;
	size_t offset;
	bool required;
	double min, max;            // of a FIELD_INT or FIELD_SECONDS, and how many entries a list or map may have
	const char *fallback;       // the default as it would be written
	const char *pattern;        // a regular expression for a text, each text of a list, or each name of a map
	const char *expected;       // the same in words
	const char *values;         // of a FIELD_ENV: a regular expression for each value
	const char *value_expected; // the same in words
	const char *const *choices; // NULL-ended
	const struct field_shape *shape;
	const char *example; // as it would be written
	const char *help;    // one line
};

struct field_shape {
	size_t size;
	const char *shorthand;      // a scalar (or list, for a command) in place of the map is the value of this key
	const struct field *fields; // ended by a NULL key
	const struct field_shape
		*top; // of the whole file, where a key may have been meant for; NULL for the top itself
};

// Fills out (size bytes, zeroed) from a map. node NULL: nothing is given. path is the place in the file, "" for the
// top. The tree must outlive out. On error -1 and err (ERROR_USAGE); out must be given to field_free in any case.
int field_read(const struct field_shape *shape, struct yaml *node, const char *path, void *out, struct error *err);
void field_free(const struct field_shape *shape, void *out); // what out holds, not out itself

// The row of a key. field_unknown sets the error for a key that has none: with the nearest known one, and all of them;
// -1.
const struct field *field_find(const struct field_shape *shape, const char *key);
int field_unknown(const struct field_shape *shape, const char *key, const char *path, const struct yaml_origin *at,
	struct error *err);

// The pairs as an object of texts, owned by the caller.
json_t *field_env_json(const struct field_env *env);

// Does text match the whole of the regular expression?
bool field_match(const char *pattern, const char *text);

#endif
