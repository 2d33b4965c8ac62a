// Pieces of HTML: escaped text, table cells, badges, numbers for people.
// It knows nothing of the page they go to.
#ifndef REPORT_HTML_H
#define REPORT_HTML_H

#include "base/str.h"

#include <jansson.h>

enum { HTML_ROWS = 500 }; // of a table; further rows are counted, not shown

// Appends text as HTML shows it literally, in an element or in a quoted attribute; control characters become visible.
// NULL adds nothing.
void html_escape(struct str *out, const char *text);

// Appends a tree as JSON that can stand inside a script element.
void html_json(struct str *out, const json_t *tree);

// A cell with that class ("n" is a number) or NULL; _take frees its text.
void html_cell(struct str *out, const char *class, const char *text);
void html_cell_take(struct str *out, const char *class, char *text);

// heads is NULL-ended; "#Bytes" heads a column of numbers. rows: how many there would be.
void html_open_table(struct str *out, const char *const *heads);
void html_close_table(struct str *out, size_t rows);

void html_badge(struct str *out, const char *word);      // the word with its sign and colour
void html_lines(struct str *out, const json_t *strings); // as printed by a rank

// A member as text for people, "" when it is not there ("–" for html_value); owned by the caller.
char *html_seconds(const json_t *object, const char *name);
char *html_bytes(const json_t *object, const char *name);
char *html_count(const json_t *object, const char *name);
char *html_value(const json_t *object, const char *name);

// What the iterations predict, as text for people, owned by the caller; NULL where they say nothing or the run came to
// its end.
char *html_estimate(const json_t *report);

// The name of the node that item is about, NULL when it is about none; owned by the report.
const char *html_node(const json_t *report, const json_t *item);

char *html_base64(const unsigned char *bytes, size_t len); // owned by the caller

#endif
