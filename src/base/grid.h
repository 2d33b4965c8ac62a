// A grid: columns of text aligned for a terminal.
// It neither wraps nor cuts, except where a column says so.
#ifndef BASE_GRID_H
#define BASE_GRID_H

#include "base/str.h"

struct grid {
	const char *const *heads; // NULL-ended; "#HEAD" is a column of numbers, aligned to the right
	char **cells;
	size_t ncells, size;
};

// Adds the next cell, row by row. text may be NULL; control characters become '?'. grid_take frees its text.
void grid_add(struct grid *g, const char *text);
void grid_take(struct grid *g, char *text);

// Appends heads and rows, each line begun with indent, and empties the grid; nothing when there are no rows. Columns in
// which every cell is empty are left out.
void grid_print(struct grid *g, struct str *out, const char *indent);

// A text that may stand in a line of a terminal: control characters are '?'. Owned by the caller.
char *grid_plain(const char *text);

#endif
