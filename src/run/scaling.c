#include "run/scaling.h"

#include "base/mem.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { TERMS = 3 };

static double term(size_t k, double nodes)
{
	return k == 0 ? 1 : k == 1 ? 1 / nodes : nodes - 1;
}

double scaling_at(const struct scaling *s, double nodes)
{
	return s->serial + s->parallel / nodes + s->talk * (nodes - 1);
}

// Gauss with pivots; false when the points do not tell the terms apart.
static bool solve(double a[TERMS][TERMS + 1], size_t n)
{
	for (size_t c = 0; c < n; c++) {
		size_t best = c;
		for (size_t r = c + 1; r < n; r++)
			best = fabs(a[r][c]) > fabs(a[best][c]) ? r : best;
		if (fabs(a[best][c]) < 1e-9)
			return false;
		for (size_t k = 0; k <= n; k++) {
			double kept = a[c][k];
			a[c][k] = a[best][k];
			a[best][k] = kept;
		}
		for (size_t r = 0; r < n; r++) {
			double f = r == c ? 0 : a[r][c] / a[c][c];
			for (size_t k = c; k <= n; k++)
				a[r][k] -= f * a[c][k];
		}
	}
	for (size_t c = 0; c < n; c++)
		a[c][n] /= a[c][c];
	return true;
}

// The terms in the set (bits) fitted to the points; the sum of squares, or INFINITY when a term comes out negative.
static double fit(unsigned set, const double *nodes, const double *seconds, size_t count, double *out)
{
	size_t used[TERMS], n = 0;
	for (size_t k = 0; k < TERMS; k++)
		if (set & 1u << k)
			used[n++] = k;
	double a[TERMS][TERMS + 1] = {0}, sum = 0;
	for (size_t i = 0; i < count; i++)
		for (size_t r = 0; r < n; r++) {
			double x = term(used[r], nodes[i]) / seconds[i];
			for (size_t c = 0; c < n; c++)
				a[r][c] += x * term(used[c], nodes[i]) / seconds[i];
			a[r][n] += x;
		}
	if (n > count || !solve(a, n))
		return INFINITY;
	memset(out, 0, TERMS * sizeof *out);
	for (size_t k = 0; k < n; k++) {
		if (a[k][n] < 0)
			return INFINITY;
		out[used[k]] = a[k][n];
	}
	for (size_t i = 0; i < count; i++) {
		double at = 0;
		for (size_t k = 0; k < TERMS; k++)
			at += out[k] * term(k, nodes[i]);
		sum += (at / seconds[i] - 1) * (at / seconds[i] - 1);
	}
	return sum;
}

static size_t different(const double *nodes, size_t count)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++) {
		size_t k = 0;
		while (k < i && nodes[k] != nodes[i])
			k++;
		n += k == i;
	}
	return n;
}

int scaling_fit(struct scaling *s, const double *nodes, const double *seconds, size_t count)
{
	static const unsigned sets[] = {2, 1, 3, 6, 5, 7}; // fewer terms first; of as many, what scales first
	double best = INFINITY, terms[TERMS], chosen[TERMS] = {0};
	size_t known = different(nodes, count), used = 0;
	*s = (struct scaling){.points = known};
	if (known < 2)
		return -1;
	for (size_t i = 0; i < countof(sets); i++) {
		size_t n = (size_t)__builtin_popcount(sets[i]);
		double sum = n <= known ? fit(sets[i], nodes, seconds, count, terms) : INFINITY;
		if (sum >= best - 1e-4) // 1 % of one point: no reason for another term
			continue;
		best = sum;
		used = n;
		memcpy(chosen, terms, sizeof chosen);
	}
	s->serial = chosen[0];
	s->parallel = chosen[1];
	s->talk = chosen[2];
	s->error = known > used ? 0 : NAN;
	for (size_t i = 0; i < count; i++)
		s->error = fmax(s->error, fabs(scaling_at(s, nodes[i]) / seconds[i] - 1));
	if (known <= used)
		s->error = NAN;
	return isfinite(best) ? 0 : -1;
}
