// Scaling: how a time depends on the number of nodes, from two or three points of it.
// It knows nothing of runs.
#ifndef COMPARE_SCALING_MODEL_H
#define COMPARE_SCALING_MODEL_H

#include <stddef.h>

enum { SCALING_MODEL_TERMS = 3, SCALING_MODEL_CURVES = 6 };

struct scaling_model_point {
	double nodes, seconds;
	double doubt; // half of its 95 % interval, relative; NAN: not known
};

// T(n) = serial + parallel / n + talk * (n - 1): Amdahl's law (1967) with a term for what each further node has to be
// told. None is negative.
struct scaling_model {
	double serial, parallel, talk; // seconds
	double error;  // largest relative distance of a point from the curve; NAN: no more points than terms
	size_t points; // different numbers of nodes
	// For the interval: how sure the terms are, and the other curves that the points allow, with their weights.
	double covariance[SCALING_MODEL_TERMS][SCALING_MODEL_TERMS];
	struct {
		double terms[SCALING_MODEL_TERMS], weight;
	} curves[SCALING_MODEL_CURVES];
	size_t ncurves;
};

// Of the curves with one, two or three of the terms, the one that comes closest to the points for its number of terms
// (Akaike's criterion, in terms of the points' own doubts); of as good ones that which scales. -1 with fewer than two
// different numbers of nodes, or a time that is not above 0.
int scaling_model_fit(struct scaling_model *s, const struct scaling_model_point *points, size_t count);

double scaling_model_at(const struct scaling_model *s, double nodes);

// Half of the 95 % interval at so many nodes, relative: what the points are unsure of, how far they lie from the curve,
// and how far apart the curves are between which they do not decide.
double scaling_model_doubt(const struct scaling_model *s, double nodes);

#endif
