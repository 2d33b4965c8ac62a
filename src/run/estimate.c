#include "run/estimate.h"

#include "base/mem.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// What is left of a turn when the work it did is taken out: seconds for one turn's work.
struct pace {
	double seconds;
	double end; // turns done when it ended, from the run's first
	bool pause, epoch_end;
};

struct paces {
	struct pace *all;
	size_t count;
	double *scratch; // of count
};

enum { FEW = 5 };
static const double least_spread = 1e-4; // of the median: the clock, and what was rounded in a printed time

// --- numbers --------------------------------------------------------------------

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

// Sorts them.
static double median_of(double *values, size_t count)
{
	qsort(values, count, sizeof *values, compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

// The median and the spread of the regular paces from FIRST on.
static double middle(const struct paces *p, size_t first, double *spread)
{
	size_t n = 0;
	for (size_t i = first; i < p->count; i++)
		if (!p->all[i].pause && !p->all[i].epoch_end)
			p->scratch[n++] = p->all[i].seconds;
	if (n == 0) {
		*spread = 0;
		return NAN;
	}
	double m = median_of(p->scratch, n);
	for (size_t i = 0; i < n; i++)
		p->scratch[i] = fabs(p->scratch[i] - m);
	*spread = fmax(1.4826 * median_of(p->scratch, n), least_spread * m);
	return m;
}

// A table, then the first terms of the expansion for many degrees of freedom (Abramowitz and Stegun 26.7.5).
double estimate_student(double freedom)
{
	static const double table[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};
	const double z = 1.959964;
	if (freedom < 1)
		return table[0];
	if (freedom < countof(table)) {
		size_t i = (size_t)freedom;
		return table[i - 1] + (freedom - (double)i) * (table[i] - table[i - 1]);
	}
	return z + (z * z * z + z) / (4 * freedom) + (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / (96 * freedom * freedom);
}

// Where 95 % of the means lie that could have given COUNT events: half a chi-square, by Wilson and Hilferty's cube.
static double poisson_bound(double count, bool high)
{
	double k = high ? count + 1 : count;
	if (k <= 0)
		return 0;
	double z = high ? 1.959964 : -1.959964, cube = 1 - 1 / (9 * k) + z / (3 * sqrt(k));
	return k * cube * cube * cube;
}

// --- what kind of turn ----------------------------------------------------------

static bool holds_epoch_end(const struct estimate_input *in, double begin, double end)
{
	return in->epoch > 0 && floor((end + 1e-9) / in->epoch) > floor((begin + 1e-9) / in->epoch);
}

static struct paces paces_make(const struct estimate_input *in)
{
	struct paces p = {.all = mem_alloc((in->count + 1) * sizeof *p.all), .scratch = mem_alloc((in->count + 1) * sizeof *p.scratch)};
	double at = in->done;
	for (size_t i = 0; i < in->count; i++) {
		const struct estimate_turn *t = &in->turns[i];
		p.all[p.count++] = (struct pace){
			.seconds = t->seconds / t->count, .end = at + t->count, .epoch_end = holds_epoch_end(in, at, at + t->count)};
		at += t->count;
	}
	return p;
}

static void find_pauses(struct paces *p, size_t first, struct estimate *e)
{
	double spread, m = middle(p, first, &spread);
	double limit = m + fmax(8 * spread, m / 4);
	for (size_t i = first; i < p->count; i++)
		if (!p->all[i].epoch_end && p->all[i].seconds > limit) {
			p->all[i].pause = true;
			e->pauses++;
		}
}

// Turns at the beginning that are unlike the second half. Of a slow approach, the part that no longer stands out of the noise stays.
static size_t find_warm_up(const struct paces *p)
{
	double spread, m = middle(p, p->count / 2, &spread);
	double near = fmax(3 * spread, 0.01 * m);
	size_t k = 0, most = p->count / 2;
	while (k < most && fabs(p->all[k].seconds - m) > near)
		k++;
	// A single one that falls in with the rest does not end a warm-up.
	size_t later = k + 1;
	while (later < most && fabs(p->all[later].seconds - m) > near)
		later++;
	k = k > 0 && later > k + 1 ? later : k;
	return k + k / 2 < most ? k + k / 2 : k; // what no longer stands out is not over yet
}

// --- doubts ---------------------------------------------------------------------

// How many neighbouring turns say as much as one that stands alone: from the correlation of lag 1 of what a straight line leaves.
static double likeness(const struct pace *x, size_t n, double slope)
{
	double mean = 0, variance = 0, product = 0, before = 0;
	for (size_t i = 0; i < n; i++)
		mean += (x[i].seconds - slope * x[i].end) / (double)n;
	for (size_t i = 0; i < n; i++) {
		double v = x[i].seconds - slope * x[i].end - mean;
		variance += v * v;
		product += v * before;
		before = v;
	}
	if (n < 5 || variance <= 0)
		return 1;
	double rho = product / variance;
	rho += (1 + 4 * rho) / (double)n; // its bias (Marriott and Pope 1954)
	rho = fmin(fmax(rho, 0), 0.9);
	return (1 + rho) / (1 - rho);
}

// Mann and Kendall's test, at three deviations, with a slope (Theil and Sen's) that matters.
static double trend(const struct pace *x, size_t n, double m)
{
	size_t step = n > 400 ? n / 400 + 1 : 1, pairs = 0, k = (n - 1) / step + 1;
	double rises = 0, variance = (double)k * ((double)k - 1) * (2 * (double)k + 5) / 18;
	autofree double *slopes = mem_alloc((k * k / 2 + 1) * sizeof *slopes);
	for (size_t i = 0; i < n; i += step)
		for (size_t j = i + step; j < n; j += step) {
			double d = x[j].seconds - x[i].seconds;
			rises += (d > 0) - (d < 0);
			slopes[pairs++] = d / (x[j].end - x[i].end);
		}
	double slope = pairs ? median_of(slopes, pairs) : 0;
	if (fabs(rises) < 3 * sqrt(variance * (step == 1 ? likeness(x, n, slope) : 1)))
		return 0;
	return fabs(slope) * (x[n - 1].end - x[0].end) > 0.01 * m ? slope : 0;
}

// Ashman's D of the best split in two: how far apart two halves are in terms of their own widths.
static bool two_modes(double *values, size_t n, double m)
{
	if (n < 10)
		return false;
	qsort(values, n, sizeof *values, compare);
	double sum = 0, squares = 0, left = 0, left_squares = 0, best = 0;
	for (size_t i = 0; i < n; i++) {
		sum += values[i] - m;
		squares += (values[i] - m) * (values[i] - m);
	}
	for (size_t i = 1; i < n; i++) {
		double v = values[i - 1] - m;
		left += v;
		left_squares += v * v;
		double a = (double)i, b = (double)(n - i);
		if (a < 0.15 * (double)n || b < 0.15 * (double)n)
			continue;
		double ma = left / a, mb = (sum - left) / b;
		double va = fmax(left_squares / a - ma * ma, 0), vb = fmax((squares - left_squares) / b - mb * mb, 0);
		double d = (mb - ma) * M_SQRT2 / sqrt(va + vb + 1e-9 * m * m);
		if (mb - ma > 0.03 * m && d > best)
			best = d;
	}
	return best > 5;
}

// --- the parts of the sum -------------------------------------------------------

// A part of what is left: seconds, and the variance of its error.
struct part {
	double seconds, variance, low, high; // low and high: what is not symmetric, on top of the variance
};

static size_t take_regular(const struct paces *p, size_t first, struct pace *x)
{
	size_t n = 0;
	for (size_t i = first; i < p->count; i++)
		if (!p->all[i].pause && !p->all[i].epoch_end)
			x[n++] = p->all[i];
	return n;
}

// The mean, its variance and third moment.
static void moments(const struct pace *x, size_t n, double *mean, double *variance, double *third)
{
	*mean = *variance = *third = 0;
	for (size_t i = 0; i < n; i++)
		*mean += x[i].seconds / (double)n;
	for (size_t i = 0; i < n; i++) {
		double v = x[i].seconds - *mean;
		*variance += v * v / (double)n;
		*third += v * v * v / (double)n;
	}
	*variance = n > 1 ? *variance * (double)n / (double)(n - 1) : *mean * *mean / 100;
	double least = least_spread * *mean;
	*variance = fmax(*variance, least * least);
}

// The regular turns: the mean of those seen, and how far off it and their sum may be.
static struct part regular(struct paces *p, size_t first, double left, struct estimate *e)
{
	autofree struct pace *x = mem_alloc((p->count + 1) * sizeof *x);
	size_t n = take_regular(p, first, x);
	double mean, variance, third;
	moments(x, n, &mean, &variance, &third);
	double slope = n >= 8 ? trend(x, n, mean) : 0, alike = likeness(x, n, slope);
	for (size_t i = 0; i < n; i++)
		p->scratch[i] = x[i].seconds;
	e->doubts |= (slope != 0 ? ESTIMATE_TREND : 0) | (two_modes(p->scratch, n, mean) ? ESTIMATE_TWO_MODES : 0) | (n < FEW ? ESTIMATE_FEW : 0);
	double effective = fmax((double)n / alike, 1), t = estimate_student(effective - 1);
	double error = t * sqrt(variance / effective), skew = third / (6 * variance * effective); // Johnson 1978
	struct part r = {.low = -skew * left, .high = skew * left};
	if (slope != 0) { // from the level it has come to: perhaps that was chance, perhaps it stays there, perhaps it goes on like this
		double reach = (x[n - 1].end - x[0].end) / 2, come = slope * reach, drift = slope * left / 2;
		mean += come;
		r.low = fmax(slope > 0 ? come * left : -drift * left, 0);
		r.high = fmax(slope > 0 ? drift * left : -come * left, 0);
	}
	e->seen = n;
	e->turn = mean;
	e->turn_low = fmax(mean - error, 0);
	e->turn_high = mean + error;
	r.seconds = mean * left;
	r.variance = t * t * (variance / effective * left * left + variance * alike * left);
	return r;
}

// Regular pauses: after how many turns; 0 when they follow no rule. Two make a rule when the first came as long after the beginning.
static double regular_pauses(const struct paces *p, size_t pauses)
{
	double begin = 0, last = 0, every = 0;
	for (size_t i = 0; i < p->count; i++) {
		if (!p->all[i].pause)
			continue;
		double gap = p->all[i].end - last;
		if (last > 0 && every > 0 && gap != every)
			return 0;
		if (last > 0)
			every = gap;
		else
			begin = p->all[i].end;
		last = p->all[i].end;
	}
	if (pauses < 2 || every < 2)
		return 0;
	double off = fmod(begin, every);
	return pauses > 2 || off == 0 || off == 1 ? every : 0;
}

// Pauses as they would come by chance: the error of their rate, their number and their sizes.
static void by_chance(struct part *r, double n, double rate, double mean, double variance)
{
	const double z2 = 1.959964 * 1.959964;
	double chance = z2 * n * rate * (mean * mean + variance), size = z2 * variance * n * rate * rate;
	double few = (n - poisson_bound(n, false)) * rate * mean, many = (poisson_bound(n, true) - n) * rate * mean, all = n * rate * mean;
	r->low = r->seconds - fmax(all - sqrt(few * few + chance + size), 0);
	r->high = all + sqrt(many * many + chance + size) - r->seconds;
}

static struct part paused(const struct paces *p, size_t first, double at, double total, struct estimate *e)
{
	struct part r = {0};
	if (e->pauses == 0)
		return r;
	double sum = 0, squares = 0, last = 0, n = (double)e->pauses, seen = at - p->all[first].end + 1, left = total - at;
	for (size_t i = first; i < p->count; i++)
		if (p->all[i].pause) {
			double more = p->all[i].seconds - e->turn;
			sum += more;
			squares += more * more;
			last = p->all[i].end;
		}
	double mean = sum / n, variance = n > 1 ? fmax(squares / n - mean * mean, 0) * n / (n - 1) : mean * mean / 4;
	e->every = regular_pauses(p, e->pauses);
	double come = e->every > 0 ? floor((total - last) / e->every) : n * left / seen;
	r.seconds = come * mean;
	if (e->pauses > 2 && e->every > 0) {
		double t = estimate_student(n - 1);
		r.variance = t * t * variance * (come * come / n + come);
		return r;
	}
	e->doubts |= e->pauses < FEW && left > seen ? ESTIMATE_PAUSES : 0; // two in a rule may be chance as well
	by_chance(&r, n, left / seen, mean, variance);
	return r;
}

// Turns that hold an end of an epoch: a partial batch, an evaluation, a checkpoint. What they take beyond a whole turn.
static struct part epoch_ends(const struct estimate_input *in, struct paces *p, double at, struct estimate *e)
{
	struct part r = {0};
	if (in->epoch <= 0)
		return r;
	double come = floor((in->total + 1e-9) / in->epoch) - floor((at + 1e-9) / in->epoch), sum = 0, squares = 0;
	size_t n = 0;
	for (size_t i = 0; i < p->count; i++)
		if (p->all[i].epoch_end)
			p->scratch[n++] = (p->all[i].seconds - e->turn) * in->turns[i].count;
	if (come <= 0)
		return r;
	if (n == 0) {
		double less = isnan(in->last) ? 0 : 1 - in->last;
		r.seconds = -come * less * e->turn;
		bool matters = come > 0.005 * (in->total - at); // each is off by one turn at most, unless it brings an evaluation
		e->doubts |= isnan(in->last) && matters ? ESTIMATE_EPOCH_END : 0;
		return r;
	}
	for (size_t i = 0; i < n; i++) {
		sum += p->scratch[i];
		squares += p->scratch[i] * p->scratch[i];
	}
	double mean = sum / (double)n, t = estimate_student((double)n - 1);
	double variance = n > 1 ? fmax(squares / (double)n - mean * mean, 0) * (double)n / ((double)n - 1) : e->spread * e->spread;
	t = n > 1 ? t : 2;
	r.seconds = come * mean;
	r.variance = t * t * variance * (come * come / (double)n + come);
	return r;
}

// --- all of it ------------------------------------------------------------------

struct estimate estimate_make(const struct estimate_input *in)
{
	struct estimate e = {0};
	struct paces p = paces_make(in);
	double gone = in->before, at = in->done;
	for (size_t i = 0; i < in->count; i++) {
		gone += in->turns[i].seconds;
		at += in->turns[i].count;
	}
	find_pauses(&p, 0, &e);
	size_t first = find_warm_up(&p);
	for (size_t i = 0; i < p.count; i++)
		p.all[i].pause = false;
	e.pauses = 0;
	find_pauses(&p, first, &e);
	e.warm_up = first;
	e.median = middle(&p, first, &e.spread);
	double left = fmax(in->total - at, 0);
	if (isnan(e.median)) {
		e.doubts = ESTIMATE_NOTHING;
		e.turn = e.turn_low = e.turn_high = e.total = e.total_low = e.total_high = NAN;
	} else {
		struct part parts[] = {regular(&p, first, left, &e), paused(&p, first, at, in->total, &e), epoch_ends(in, &p, at, &e)};
		struct part all = {0};
		for (size_t i = 0; i < countof(parts); i++) {
			all.seconds += parts[i].seconds;
			all.variance += parts[i].variance;
			all.low += parts[i].low;
			all.high += parts[i].high;
		}
		e.init = fmax(in->before - in->done * e.turn, 0);
		e.total = gone + fmax(all.seconds, 0);
		e.total_low = fmin(fmax(e.total - sqrt(all.variance) - all.low, gone), e.total); // skew may shift both ends far
		e.total_high = fmax(e.total + sqrt(all.variance) + all.high, e.total);
	}
	if (isnan(in->total))
		e.total = e.total_low = e.total_high = NAN;
	free(p.all);
	free(p.scratch);
	return e;
}

const char *estimate_doubt(unsigned doubts)
{
	static const char *const words[] = {"too few iterations to judge their spread", "iterations grow longer or shorter",
		"iterations are of two kinds, or the machine is sometimes slower", "rare long iterations without a rule: too few seen to know how many come",
		"no end of an epoch has been seen", "no iteration has been seen"};
	for (size_t i = 0; i < countof(words); i++)
		if (doubts & 1u << i)
			return words[i];
	return NULL;
}
