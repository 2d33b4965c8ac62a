// YAML as a tree of nodes that know where they stand: file, line and column of every key and value.
// It does not know what any key means; every scalar stays the text that was written.
#ifndef JOB_YAML_H
#define JOB_YAML_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

// Where the first character of a text stands. line 0: the text is no file (an option of the command line), and only its
// column is told.
struct yaml_origin {
	const char *file; // not copied: must outlive the tree
	int line, column;
};

struct yaml {
	enum yaml_kind kind;
	bool plain;       // a scalar without quotes
	const char *file; // not owned
	int line, column; // of its first character, from 1
	char *text;       // of a scalar: valid UTF-8 without NUL; never NULL
	size_t count;     // of a list or map
	struct yaml_entry *entries;
};

struct yaml_entry {
	char *key; // NULL in a list
	int line, column;
	struct yaml *value; // never NULL
};

enum {
	YAML_MAX_BYTES = 1 << 20,
	YAML_MAX_NODES = 20000, // after aliases are expanded; a job file may name 10,000 hosts
	YAML_MAX_DEPTH = 32,
};

// Reads exactly one document. NULL and err (ERROR_USAGE, with the position) when it is not one, is too large or too
// deep, or has a key twice.
struct yaml *yaml_parse(const char *text, size_t len, const struct yaml_origin *origin, struct error *err);

// The same with other limits, for files that are long by nature.
struct yaml_limits {
	size_t bytes, nodes;
};
struct yaml *yaml_parse_large(
	const char *text, size_t len, const struct yaml_origin *origin, struct yaml_limits limits, struct error *err);

void yaml_discard(struct yaml *node); // not called yaml_free: libyaml has a function of that name

// A new node at that place. text NULL: an empty map, else a quoted scalar.
struct yaml *yaml_new(const char *text, const char *file, int line, int column);

// The value of a key, or NULL. yaml_put takes value; line and column are the key's; a value that was there is freed.
// key NULL appends to a list.
struct yaml *yaml_find(const struct yaml *map, const char *key);
void yaml_put(struct yaml *map, const char *key, int line, int column, struct yaml *value);

void yaml_remove(struct yaml *map, const char *key); // what is not there is no error

// Turns a scalar or list into a map with itself as the only value.
void yaml_wrap(struct yaml *node, const char *key);

// The node on one line, in flow style, so that it can be read again. Owned by the caller.
char *yaml_flow(const struct yaml *node);

// A map as the text of a file, a key a line, so that it can be read again; comments are gone. Owned by the caller.
char *yaml_print(const struct yaml *map);

// The node as JSON, owned by the caller. A plain scalar is null, a boolean (only true and false are), a number where it
// looks like one (0644 and 0o644 are octal, as kubectl reads them), else a text.
json_t *yaml_json(const struct yaml *node);

bool yaml_is_null(const struct yaml *node); // plain: nothing, ~ or null

// "text 'x'", "nothing", "a list", "a map": for errors, short, printable; owned by the caller. yaml_quote: only "'x'",
// of any text.
char *yaml_describe(const struct yaml *node);
char *yaml_quote(const char *text);

// Sets err to "FILE:LINE:COLUMN: " and the text; -1.
int yaml_error(const struct yaml *node, struct error *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int yaml_error_at(const char *file, int line, int column, struct error *err, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

#endif
