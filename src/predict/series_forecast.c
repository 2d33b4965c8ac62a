#include "predict/series_forecast.h"

#include <math.h>

enum { GRID = 30, BATCHES = 64 };
static const double lowest = -0.5, highest = 0.98; // correlations of neighbours
static const double z = 1.959964;                  // 97.5 % of a normal distribution lie below

// All that the likelihood needs to know of a series.
struct series_sums {
	double n, sum, squares, products, first, last, third;
};

// Student's distributions of freedom n - 1, one for each correlation.
struct mixture {
	double weight[GRID], at[GRID], scale[GRID], freedom;
};

static struct series_sums sums_of(const double *x, size_t n)
{
	struct series_sums s = {.n = (double)n, .first = x[0], .last = x[n - 1]};
	for (size_t i = 0; i < n; i++) {
		s.sum += x[i];
		s.squares += x[i] * x[i];
		s.third += x[i] * x[i] * x[i];
		s.products += i > 0 ? x[i] * x[i - 1] : 0;
	}
	return s;
}

// The sum of the next MORE values where neighbours have the correlation r: its share of the mean, of the last value's
// deviation, and the variance of what is new in it, in terms of the innovations'.
static void future(double r, double more, double *of_mean, double *of_last, double *fresh)
{
	double fade = pow(fabs(r), more) * (r < 0 && fmod(floor(more), 2) > 0 ? -1 : 1);
	*of_last = r * (1 - fade) / (1 - r);
	*of_mean = more - *of_last;
	*fresh = fmax(more - 2 * r * (1 - fade) / (1 - r) + r * r * (1 - fade * fade) / (1 - r * r), 0) /
		 ((1 - r) * (1 - r));
}

// Posterior of each correlation, and Student's distribution of the sum of the next values (more > 0) or of the mean
// given it.
static struct mixture mixture_make(const struct series_sums *s, double more, double least)
{
	struct mixture m = {.freedom = fmax(s->n - 1, 1)};
	double logs[GRID], best = -INFINITY, all = 0;
	for (size_t i = 0; i < GRID; i++) {
		double r = lowest + (highest - lowest) * ((double)i + 0.5) / GRID;
		double edges = s->first + s->last, inner = (1 - r) * (1 - r);
		double precision = 2 * (1 - r) + (s->n - 2) * inner,
		       mean = ((1 - r) * edges + inner * (s->sum - edges)) / precision;
		double rest = s->squares * (1 + r * r) - r * r * (s->first * s->first + s->last * s->last) -
			      2 * r * s->products - precision * mean * mean;
		rest = fmax(fmax(rest, s->n * least * least * (1 - r * r)), 1e-200);
		double variance = rest / m.freedom, of_mean = 1, of_last = 0, fresh = 0;
		if (more > 0)
			future(r, more, &of_mean, &of_last, &fresh);
		m.at[i] = of_mean * mean + of_last * s->last;
		m.scale[i] = sqrt(variance * (of_mean * of_mean / precision + fresh));
		logs[i] = 0.5 * log((1 - r * r) / precision) - m.freedom / 2 * log(rest);
		best = fmax(best, logs[i]);
	}
	for (size_t i = 0; i < GRID; i++)
		all += m.weight[i] = exp(logs[i] - best);
	for (size_t i = 0; i < GRID; i++)
		m.weight[i] /= all;
	return m;
}

// Student's distribution by the normal one (Wallace 1959).
static double below(const struct mixture *m, double x)
{
	double p = 0;
	for (size_t i = 0; i < GRID; i++) {
		double t = (x - m->at[i]) / m->scale[i], f = m->freedom;
		double normal = (8 * f + 1) / (8 * f + 3) * sqrt(f * log1p(t * t / f));
		p += m->weight[i] * 0.5 * erfc((t > 0 ? -normal : normal) * M_SQRT1_2);
	}
	return p;
}

static double middle(const struct mixture *m)
{
	double sum = 0;
	for (size_t i = 0; i < GRID; i++)
		sum += m->weight[i] * m->at[i];
	return sum;
}

static double quantile(const struct mixture *m, double p)
{
	double at = middle(m), reach = 0;
	for (size_t i = 0; i < GRID; i++)
		reach = fmax(reach, m->weight[i] > 1e-6 ? m->scale[i] + fabs(m->at[i] - at) : 0);
	double low = at - 50 * reach, high = at + 50 * reach;
	for (size_t i = 0; i < 40; i++) {
		double half = (low + high) / 2;
		if (below(m, half) < p)
			low = half;
		else
			high = half;
	}
	return (low + high) / 2;
}

// By how much skewness moves the ends of an interval for the mean.
static double lean(const struct series_sums *s)
{
	double mean = s->sum / s->n, variance = fmax(s->squares / s->n - mean * mean, 0);
	double third = s->third / s->n - 3 * mean * s->squares / s->n + 2 * mean * mean * mean;
	if (s->n < 3 || variance <= 0)
		return 0;
	double unbiased = s->n * s->n / ((s->n - 1) * (s->n - 2));
	return (1 + 2 * z * z) * unbiased * third / (6 * variance * s->n);
}

struct series_forecast series_forecast_make(const double *values, size_t count, double more, double least)
{
	size_t each = 1;
	while (count / each > BATCHES)
		each *= 2;
	size_t n = count / each;
	double batches[BATCHES] = {0};
	for (size_t i = 0; i < n; i++) { // the first ones, which fill no batch, are left out
		for (size_t k = 0; k < each; k++)
			batches[i] += values[count - n * each + i * each + k] / (double)each;
	}
	struct series_sums s = sums_of(batches, n);
	double size = (double)each, leaning = lean(&s);
	least /= sqrt(size);
	struct mixture m = mixture_make(&s, 0, least);
	struct series_forecast r = {.mean = middle(&m),
		.mean_low = quantile(&m, 0.025) + leaning,
		.mean_high = quantile(&m, 0.975) + leaning};
	if (more <= 0)
		return r;
	m = mixture_make(&s, more / size, least);
	r.sum = middle(&m) * size;
	r.sum_low = quantile(&m, 0.025) * size + leaning * more;
	r.sum_high = quantile(&m, 0.975) * size + leaning * more;
	return r;
}

// The incomplete gamma function's series (Abramowitz and Stegun 6.5.29), and bisection.
double series_forecast_gamma(double shape, double p)
{
	double low = 0, high = shape + 20 * sqrt(shape) + 20;
	for (size_t i = 0; i < 60; i++) {
		double x = (low + high) / 2, term = 1 / shape, sum = term;
		for (double k = 1; k < 10000 && term > sum * 1e-12; k++)
			sum += term *= x / (shape + k);
		if (sum * exp(shape * log(x) - x - lgamma(shape)) < p)
			low = x;
		else
			high = x;
	}
	return (low + high) / 2;
}
