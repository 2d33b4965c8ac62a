// Images among the outputs of a run: which of them a report shows.
// It does not decode them: a file is what its first bytes and its name say.
#ifndef REPORT_IMAGES_H
#define REPORT_IMAGES_H

#include "run/run.h"

#include <jansson.h>

// PNG, JPEG and GIF files below outputs/, symbolic links left out: [{path (below the run directory), bytes, type,
// shown}]. Shown are the last of each directory and kind of name (names that differ only in digits) before the one
// before it, up to budget bytes in all. Shown ones of a kind stand together, in order. Owned by the caller.
json_t *images_find(const struct run *run, size_t budget);

// The contents of one, as a data: URI owned by the caller; NULL when it cannot be read any more or is no image.
char *images_uri(const struct run *run, const json_t *image);

#endif
