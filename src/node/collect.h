// Which files of a node are to be brought back: those below its output directory that match the job's patterns.
// It copies nothing.
#ifndef NODE_COLLECT_H
#define NODE_COLLECT_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

// An array of {"path" (below dir), "size", "mode"}, sorted by path, of regular files only; symbolic links are not
// followed. globs: an array of patterns with *, ?, [...] within one name and ** over any number of directories. At most
// 100,000 files: more is an error.
json_t *collect_find(const char *dir, const json_t *globs, struct error *err);

// Does the pattern match the path of any of these files?
bool collect_any(const json_t *files, const char *glob);

#endif
