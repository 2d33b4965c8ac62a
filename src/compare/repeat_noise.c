#include "compare/repeat_noise.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

// A cell of the grid: the groups' variances are around scale, as if that were known from so many degrees of freedom.
struct cell {
	double freedom, scale, weight;
};

struct repeat_noise {
	struct cell *cells;
	size_t count;
};

enum { STEPS = 24, HALVINGS = 40 };
static const double freedoms[] = {1, 2, 4, 8, 16, 64}; // from "each has its own noise" to "all have the same"
static const double least_variance = 1e-8;             // clocks are not finer than a ten thousandth
static const double beyond = 30; // how far below the least and above the largest variance the distribution may lie
static const double negligible = 1e-5;
static const double strange = 0.2; // of the groups may be unlike the others
static const double strange_density =
	0.05; // of the logarithm of a variance of which nothing is known: from the least to 1

static double variance_of(const struct repeat_noise_group *g)
{
	return fmax(g->variance, least_variance);
}

// The density of the logarithm of a group's variance, if it is one of the others: F with the degrees of freedom of the
// group and of the cell.
static double member(const struct repeat_noise_group *g, const struct cell *c)
{
	double d = (double)g->count - 1, f = c->freedom, x = variance_of(g) / c->scale;
	return exp(lgamma((d + f) / 2) - lgamma(d / 2) - lgamma(f / 2) + d / 2 * log(d * x / f) -
		   (d + f) / 2 * log1p(d * x / f));
}

// How likely the group is none of the others: a machine that is shared, a limit that is met in bursts.
static double stranger(const struct repeat_noise_group *g, const struct cell *c)
{
	return strange * strange_density / (strange * strange_density + (1 - strange) * member(g, c));
}

// Weights are logarithms until here; cells that do not count go.
static void normalise(struct repeat_noise *n)
{
	double most = -INFINITY, sum = 0;
	size_t kept = 0;
	for (size_t i = 0; i < n->count; i++)
		most = fmax(most, n->cells[i].weight);
	for (size_t i = 0; i < n->count; i++) {
		n->cells[i].weight = exp(n->cells[i].weight - most);
		if (n->cells[i].weight < negligible)
			continue;
		sum += n->cells[i].weight;
		n->cells[kept++] = n->cells[i];
	}
	n->count = kept;
	for (size_t i = 0; i < kept; i++)
		n->cells[i].weight /= sum;
}

struct repeat_noise *repeat_noise_new(const struct repeat_noise_group *groups, size_t count)
{
	double low = INFINITY, high = 0;
	for (size_t i = 0; i < count; i++)
		if (groups[i].count > 1) {
			low = fmin(low, variance_of(&groups[i]));
			high = fmax(high, variance_of(&groups[i]));
		}
	if (high <= 0)
		return NULL;
	struct repeat_noise *n = mem_alloc(sizeof *n);
	n->cells = mem_alloc(countof(freedoms) * STEPS * sizeof *n->cells);
	double from = log(low / beyond), to = log(high * beyond);
	for (size_t f = 0; f < countof(freedoms); f++)
		for (size_t s = 0; s < STEPS; s++) {
			struct cell *c = &n->cells[n->count++];
			*c = (struct cell){
				.freedom = freedoms[f], .scale = exp(from + (to - from) * (double)s / (STEPS - 1))};
			for (size_t i = 0; i < count; i++)
				if (groups[i].count > 1)
					c->weight +=
						log(strange * strange_density + (1 - strange) * member(&groups[i], c));
		}
	normalise(n);
	return n;
}

void repeat_noise_free(struct repeat_noise *n)
{
	if (!n)
		return;
	free(n->cells);
	free(n);
}

// How likely |t| is larger than x, by Student's distribution with a whole number of degrees of freedom: finite sums
// (Abramowitz and Stegun 26.7.3 and 26.7.4).
static double tail(double x, double freedom)
{
	double angle = atan(x / sqrt(freedom)), c2 = cos(angle) * cos(angle), term = 1, sum = 0;
	size_t v = (size_t)freedom;
	if (v % 2) {
		term = cos(angle);
		for (size_t k = 3; k <= v; k += 2) {
			sum += term;
			term *= c2 * (double)(k - 1) / (double)k;
		}
		return 1 - 2 / M_PI * (angle + sin(angle) * sum);
	}
	for (size_t k = 2; k <= v; k += 2) {
		sum += term;
		term *= c2 * (double)(k - 1) / (double)k;
	}
	return 1 - sin(angle) * sum;
}

// In each cell what is known of the group's noise is the cell's and the group's own, each with its degrees of freedom;
// of a stranger only its own.
static double outside(const struct repeat_noise *n, const struct repeat_noise_group *g, double half)
{
	double own = g->count > 1 ? (double)g->count - 1 : 0, sum = 0;
	double alone = own > 0 ? tail(half / sqrt(variance_of(g) / (double)g->count), own) : 0;
	for (size_t i = 0; i < n->count; i++) {
		const struct cell *c = &n->cells[i];
		double freedom = c->freedom + own,
		       variance = (c->freedom * c->scale + (own > 0 ? own * variance_of(g) : 0)) / freedom;
		double apart = own > 0 ? stranger(g, c) : 0;
		sum += c->weight *
		       ((1 - apart) * tail(half / sqrt(variance / (double)g->count), freedom) + apart * alone);
	}
	return sum;
}

double repeat_noise_half(const struct repeat_noise *n, const struct repeat_noise_group *group)
{
	if (!n || !group->count)
		return NAN;
	double low = 0, high = 1e-4;
	while (outside(n, group, high) > 0.05 && high < 1e6)
		high *= 4;
	for (int i = 0; i < HALVINGS && high - low > 1e-3 * high; i++) {
		double middle = (low + high) / 2;
		if (outside(n, group, middle) > 0.05)
			low = middle;
		else
			high = middle;
	}
	return high;
}
