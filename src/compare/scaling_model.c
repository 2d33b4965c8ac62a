#include "compare/scaling_model.h"

#include "base/mem.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { TERMS = SCALING_MODEL_TERMS };

static const double least_doubt = 0.01, unknown_doubt = 0.1; // half intervals, relative
static const double z = 1.959964;                            // deviations in half an interval

// A curve of some of the terms, fitted.
struct fit {
	double terms[TERMS], covariance[TERMS][TERMS];
	double misfit; // squares of the points' distances, in terms of their deviations
	size_t used;
};

static double term(size_t k, double nodes)
{
	return k == 0 ? 1 : k == 1 ? 1 / nodes : nodes - 1;
}

static double value(const double *terms, double nodes)
{
	double sum = 0;
	for (size_t k = 0; k < TERMS; k++)
		sum += terms[k] * term(k, nodes);
	return sum;
}

double scaling_model_at(const struct scaling_model *s, double nodes)
{
	return value((double[]){s->serial, s->parallel, s->talk}, nodes);
}

static double deviation(const struct scaling_model_point *p)
{
	return p->seconds * fmax(isnan(p->doubt) ? unknown_doubt : p->doubt, least_doubt) / z;
}

// Gauss and Jordan with pivots on a matrix with the unit matrix beside it; false when the points do not tell the terms
// apart.
static bool invert(double a[TERMS][2 * TERMS], size_t n)
{
	for (size_t c = 0; c < n; c++) {
		size_t best = c;
		for (size_t r = c + 1; r < n; r++)
			best = fabs(a[r][c]) > fabs(a[best][c]) ? r : best;
		double pivot = a[best][c];
		if (fabs(pivot) < 1e-9)
			return false;
		for (size_t k = 0; k < 2 * n; k++) {
			double kept = a[best][k] / pivot;
			a[best][k] = a[c][k];
			a[c][k] = kept;
		}
		for (size_t r = 0; r < n; r++) {
			double f = r == c ? 0 : a[r][c];
			for (size_t k = 0; k < 2 * n; k++)
				a[r][k] -= f * a[c][k];
		}
	}
	return true;
}

// The terms in the set (bits) by least squares; false when one comes out negative, or there are too few points.
static bool fit(struct fit *f, unsigned set, const struct scaling_model_point *points, size_t count)
{
	size_t used[TERMS], n = 0;
	double a[TERMS][2 * TERMS] = {0}, right[TERMS] = {0},
			    unit = points[0].seconds; // so that the numbers are near 1
	*f = (struct fit){0};
	for (size_t k = 0; k < TERMS; k++)
		if (set & 1u << k)
			used[n++] = k;
	f->used = n;
	for (size_t i = 0; i < count; i++)
		for (size_t r = 0; r < n; r++) {
			double x = term(used[r], points[i].nodes) * unit / deviation(&points[i]);
			for (size_t c = 0; c < n; c++)
				a[r][c] += x * term(used[c], points[i].nodes) * unit / deviation(&points[i]);
			right[r] += x * points[i].seconds / deviation(&points[i]);
			a[r][n + r] = 1;
		}
	if (!invert(a, n))
		return false;
	for (size_t r = 0; r < n; r++)
		for (size_t c = 0; c < n; c++) {
			f->terms[used[r]] += a[r][n + c] * right[c] * unit;
			f->covariance[used[r]][used[c]] = a[r][n + c] * unit * unit;
		}
	for (size_t i = 0; i < count; i++) {
		double off = (value(f->terms, points[i].nodes) - points[i].seconds) / deviation(&points[i]);
		f->misfit += off * off;
	}
	return f->terms[0] >= 0 && f->terms[1] >= 0 && f->terms[2] >= 0;
}

static size_t different(const struct scaling_model_point *points, size_t count)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++) {
		size_t k = 0;
		while (k < i && points[k].nodes != points[i].nodes)
			k++;
		n += k == i;
	}
	return n;
}

// Points that lie farther from the curve than their doubts say make its terms as much less sure.
static void take(struct scaling_model *s, const struct fit *f, const struct scaling_model_point *points, size_t count)
{
	double excess = count > f->used ? fmax(1, f->misfit / (double)(count - f->used)) : 1;
	s->serial = f->terms[0];
	s->parallel = f->terms[1];
	s->talk = f->terms[2];
	for (size_t r = 0; r < TERMS; r++)
		for (size_t c = 0; c < TERMS; c++)
			s->covariance[r][c] = f->covariance[r][c] * excess;
	s->error = 0;
	for (size_t i = 0; i < count; i++)
		s->error = fmax(s->error, fabs(scaling_model_at(s, points[i].nodes) / points[i].seconds - 1));
	if (s->points <= f->used)
		s->error = NAN;
}

int scaling_model_fit(struct scaling_model *s, const struct scaling_model_point *points, size_t count)
{
	static const unsigned sets[SCALING_MODEL_CURVES] = {2, 1, 3, 5, 6, 7}; // of as many terms, what scales first
	struct fit best = {0}, f;
	double least = INFINITY;
	*s = (struct scaling_model){.points = different(points, count)};
	for (size_t i = 0; i < count; i++)
		if (!(points[i].seconds > 0) || isinf(points[i].seconds))
			return -1;
	for (size_t i = 0; i < countof(sets) && s->points > 1; i++) {
		if ((size_t)__builtin_popcount(sets[i]) > s->points || !fit(&f, sets[i], points, count))
			continue;
		double score = f.misfit + 2 * (double)f.used;
		memcpy(s->curves[s->ncurves].terms, f.terms, sizeof f.terms);
		s->curves[s->ncurves++].weight = score;
		if (score < least - 1e-6) { // not for what rounding makes of it
			least = score;
			best = f;
		}
	}
	if (isinf(least))
		return -1;
	for (size_t i = 0; i < s->ncurves; i++)
		s->curves[i].weight = exp(fmin(least - s->curves[i].weight, 0) / 2);
	take(s, &best, points, count);
	return 0;
}

double scaling_model_doubt(const struct scaling_model *s, double nodes)
{
	double at = scaling_model_at(s, nodes), variance = 0, apart = 0, weights = 0;
	for (size_t r = 0; r < TERMS; r++)
		for (size_t c = 0; c < TERMS; c++)
			variance += s->covariance[r][c] * term(r, nodes) * term(c, nodes);
	for (size_t i = 0; i < s->ncurves; i++) {
		double off = value(s->curves[i].terms, nodes) - at;
		apart += s->curves[i].weight * off * off;
		weights += s->curves[i].weight;
	}
	return z * sqrt(variance + apart / weights) / at;
}
