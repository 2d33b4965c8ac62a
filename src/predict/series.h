// A series: numbers over time, thinned out as they come so that any length fits, and never without its extremes.
// It does not know what the numbers are.
#ifndef PREDICT_SERIES_H
#define PREDICT_SERIES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct point {
	double t, step, value; // step is NaN when there is none
};

// Points are kept in buckets of equally many; of each bucket the lowest and the highest survive. Zeroed memory is an
// empty series.
struct series {
	struct bucket *buckets;
	size_t nbuckets, size;
	size_t per_bucket; // points a full bucket stands for: a power of two
	size_t count;      // points ever added
	double sum;        // of the finite ones
	size_t finite;
	struct point first, last, low, high;
};

void series_fini(struct series *s);

// Adds a point; keeps at most limit (4 or more, the same in each call) of them. A value that is not finite is counted
// and shown as a gap.
void series_add(struct series *s, size_t limit, struct point p);

// What is left, in order, as [[t, step or null, value or null], ...] (with_step) or [[t, value or null], ...]; owned by
// the caller.
json_t *series_points(const struct series *s, bool with_step);

// value cut to 6 significant digits, so that it prints short; null when it is not finite. Owned by the caller.
json_t *series_number(double value);

#endif
