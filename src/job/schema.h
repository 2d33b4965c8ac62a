// The JSON Schema (draft 7, which editors know) of a file that a table of fields describes.
// It checks nothing itself.
#ifndef JOB_SCHEMA_H
#define JOB_SCHEMA_H

#include "job/field.h"

#include <jansson.h>

// Owned by the caller.
json_t *schema_make(const struct field_shape *shape, const char *title);

#endif
