// Scaling: how a time depends on the number of nodes, from two or three points of it.
// It knows nothing of runs.
#ifndef RUN_SCALING_H
#define RUN_SCALING_H

#include <stddef.h>

// T(n) = serial + parallel / n + talk * (n - 1): Amdahl's law (1967) with a term for what each further node has to be told. None is negative.
struct scaling {
	double serial, parallel, talk; // seconds
	double error;                  // the largest relative distance of a point from the curve; NAN when there were not more points than terms
	size_t points;
};

// The terms with the least squares of relative errors; where several do as well, the fewest. -1 with fewer than two different numbers of nodes.
int scaling_fit(struct scaling *s, const double *nodes, const double *seconds, size_t count);

double scaling_at(const struct scaling *s, double nodes);

#endif
