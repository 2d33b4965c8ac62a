// JSON that arrives in pieces, one value a line: each line is handed on when it is whole.
// It reads from nowhere: pieces are given to it.
#ifndef BASE_JSON_LINES_H
#define BASE_JSON_LINES_H

#include "base/error.h"
#include "base/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct json_lines {
	int (*on_line)(const json_t *line, void *data, struct error *err); // -1 and err ends it
	void *data;
	bool refused; // on_line has ended it
	struct str rest;
};

// A piece of the text. What is no object is passed over. -1 and err when a line was refused or is longer than 8 MiB.
int json_lines_add(struct json_lines *lines, const char *bytes, size_t len, struct error *err);

// The last line may have no end.
int json_lines_end(struct json_lines *lines, struct error *err);
void json_lines_fini(struct json_lines *lines);

#endif
