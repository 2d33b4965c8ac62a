// A table of text, its columns aligned for a terminal.
// It neither wraps nor cuts, except where a column says so.
#ifndef BASE_TEXT_TABLE_H
#define BASE_TEXT_TABLE_H

#include "base/str.h"

struct text_table {
	const char *const *heads; // NULL-ended; "#HEAD" is a column of numbers, aligned to the right
	char **cells;
	size_t ncells, size;
};

// Adds the next cell, row by row. text may be NULL; control characters become '?'. text_table_take frees its text.
void text_table_add(struct text_table *g, const char *text);
void text_table_take(struct text_table *g, char *text);

// Appends heads and rows, each line begun with indent, and empties the grid; nothing when there are no rows. Columns in
// which every cell is empty are left out.
void text_table_print(struct text_table *g, struct str *out, const char *indent);

// A text that may stand in a line of a terminal: control characters are '?'. Owned by the caller.
char *text_table_plain(const char *text);

#endif
