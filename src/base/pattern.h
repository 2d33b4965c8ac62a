// Patterns: PCRE2 regular expressions that search lines, with groups read as texts and numbers.
// A pattern that backtracks without end gives up; none can hang or exhaust its process.
#ifndef BASE_PATTERN_H
#define BASE_PATTERN_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct pattern;

// NULL and err ("at character N: why", ERROR_USAGE) when text is no regular expression. Keep a pattern and use it
// often: compiling is slow.
struct pattern *pattern_new(const char *text, struct error *err);
void pattern_free(struct pattern *p); // takes NULL

size_t pattern_groups(const struct pattern *p);
int pattern_group(const struct pattern *p, const char *name); // its number, 0 when no group has this name

// Searches the line, which need not end with NUL. The groups below are of the last line that was found, which must
// still be there.
bool pattern_find(struct pattern *p, const char *line, size_t len);

// The text of a group (0: all of what was found); NULL when the group took no part.
const char *pattern_text(const struct pattern *p, int group, size_t *len);

// The group as a finite number; false when it is none, and for group 0.
bool pattern_number(const struct pattern *p, int group, double *value);

#endif
