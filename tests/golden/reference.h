// The lists of keys and placeholders in doc/jobfile.md, made from the tables that check and fill job files.
// It writes no prose: what stands between the lists is the page's own.
#ifndef GOLDEN_REFERENCE_H
#define GOLDEN_REFERENCE_H

#include "base/error.h"
#include "job/field.h"

// The page with what stands between each "<!-- keys: PATH -->" and the next "<!-- end -->" made anew; owned by the
// caller. NULL and err when a map of the table has no such place in the page, or a place names no map.
char *reference_fill(const char *page, const struct field_shape *shape, struct error *err);

// The same between <!-- placeholders --> and <!-- end -->, with the table of placeholders.
char *reference_fill_placeholders(const char *page, struct error *err);

#endif
