// Patterns: PCRE2 regular expressions that search lines, with groups read as texts and numbers.
// A pattern that backtracks without end gives up; none can hang or exhaust its process.
#ifndef BASE_REGEX_H
#define BASE_REGEX_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct regex;

// NULL and err ("at character N: why", ERROR_USAGE) when text is no regular expression. Keep a pattern and use it
// often: compiling is slow.
struct regex *regex_new(const char *text, struct error *err);
void regex_free(struct regex *p); // takes NULL

size_t regex_groups(const struct regex *p);
int regex_group(const struct regex *p, const char *name); // its number, 0 when no group has this name

// Searches the line, which need not end with NUL. The groups below are of the last line that was found, which must
// still be there.
bool regex_find(struct regex *p, const char *line, size_t len);

// The text of a group (0: all of what was found); NULL when the group took no part.
const char *regex_text(const struct regex *p, int group, size_t *len);

// The group as a finite number; false when it is none, and for group 0.
bool regex_number(const struct regex *p, int group, double *value);

#endif
