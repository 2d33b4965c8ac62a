// Many like things at once, a few at a time, on threads.
// It keeps no threads between two calls.
#ifndef BASE_PARALLEL_H
#define BASE_PARALLEL_H

#include "base/error.h"

#include <stddef.h>

// Calls work(0) ... work(count - 1), at most so many at the same time, and returns when all that began are through.
// After a failure no further ones begin; err is that of the first one that failed.
int parallel_run(size_t count, size_t at_once, int (*work)(size_t i, void *data, struct error *err), void *data,
	struct error *err);

#endif
