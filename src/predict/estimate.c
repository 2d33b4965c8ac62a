#include "predict/estimate.h"

#include "base/mem.h"
#include "predict/series_forecast.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// What is left of a turn when the work it did is taken out: seconds for one turn's work.
struct pace {
	double seconds, count;
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

static bool is_regular(const struct pace *x)
{
	return !x->pause && !x->epoch_end;
}

// The median and the spread of the regular paces from FIRST on.
static double middle(const struct paces *p, size_t first, double *spread)
{
	size_t n = 0;
	for (size_t i = first; i < p->count; i++)
		if (is_regular(&p->all[i]))
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
	return z + (z * z * z + z) / (4 * freedom) +
	       (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / (96 * freedom * freedom);
}

// --- what kind of turn ----------------------------------------------------------

static bool holds_epoch_end(const struct estimate_input *in, double begin, double end)
{
	return in->epoch > 0 && floor((end + 1e-9) / in->epoch) > floor((begin + 1e-9) / in->epoch);
}

static struct paces paces_make(const struct estimate_input *in)
{
	struct paces p = {.all = mem_alloc((in->count + 1) * sizeof *p.all),
		.scratch = mem_alloc((in->count + 1) * sizeof *p.scratch)};
	double at = in->done;
	for (size_t i = 0; i < in->count; i++) {
		const struct estimate_turn *t = &in->turns[i];
		p.all[p.count++] = (struct pace){.seconds = t->seconds / t->count,
			.count = t->count,
			.end = at + t->count,
			.epoch_end = holds_epoch_end(in, at, at + t->count)};
		at += t->count;
	}
	return p;
}

// One turn of several that were seen together must have been so long, the others as usual.
static void find_pauses(struct paces *p, size_t first, struct estimate *e)
{
	double spread, m = middle(p, first, &spread);
	e->pauses = 0;
	for (size_t i = 0; i < p->count; i++) {
		struct pace *x = &p->all[i];
		x->pause = i >= first && !x->epoch_end && x->seconds > m + fmax(8 * spread, m / 4 / x->count);
		e->pauses += x->pause;
	}
}

// --- the beginning --------------------------------------------------------------

// A mean and a deviation to which values are added one by one (Welford 1962).
struct running {
	double n, mean, squares;
};

static void running_add(struct running *r, double value)
{
	double off = value - r->mean;
	r->mean += off / ++r->n;
	r->squares += off * (value - r->mean);
}

// The deviation of the regular paces from FIRST on.
static double deviation(const struct paces *p, size_t first)
{
	struct running r = {0};
	for (size_t i = first; i < p->count; i++)
		if (is_regular(&p->all[i]))
			running_add(&r, p->all[i].seconds);
	return r.n > 1 ? sqrt(r.squares / (r.n - 1)) : INFINITY;
}

// What a straight line through the first K paces and all regular ones after them leaves of their deviation.
static double off_line(const struct paces *p, size_t k)
{
	double n = 0, x = 0, y = 0, xx = 0, xy = 0, yy = 0;
	for (size_t i = 0; i < p->count; i++)
		if (i < k || is_regular(&p->all[i])) {
			double dx = p->all[i].end - x, dy = p->all[i].seconds - y;
			x += dx / ++n;
			y += dy / n;
			xx += dx * (p->all[i].end - x);
			xy += dx * (p->all[i].seconds - y);
			yy += dy * (p->all[i].seconds - y);
		}
	return n > 2 && xx > 0 ? sqrt(fmax(yy - xy * xy / xx, 0) / (n - 2)) : INFINITY;
}

// The first K turns are no approach but another level, which may come again.
static bool is_level(const struct paces *p, size_t k, double m)
{
	if (k < 3 || 8 * k < p->count)
		return false;
	for (size_t i = 0; i < k; i++)
		p->scratch[i] = p->all[i].seconds;
	double early = median_of(p->scratch, k / 2), late = median_of(p->scratch + k / 2, k - k / 2),
	       all = (early + late) / 2;
	return fabs(early - late) < fabs(all - m) / 3 && fabs(all - m) < m;
}

// A single long turn at the beginning that is a pause like those that come later.
static bool is_pause(const struct paces *p, double m)
{
	for (size_t i = 1; i < p->count; i++)
		if (p->all[i].pause &&
			(p->all[i].seconds - m) * p->all[i].count > (p->all[0].seconds - m) * p->all[0].count / 2)
			return p->all[0].pause;
	return false;
}

// Where the error of the mean of what stays is least (White's marginal standard error rule, 1997), from K on and up to
// the middle.
static size_t least_error(const struct paces *p, size_t k)
{
	size_t best = k;
	double least = INFINITY;
	struct running r = {0};
	for (size_t i = p->count; i-- > k;) {
		if (is_regular(&p->all[i]))
			running_add(&r, p->all[i].seconds);
		double error = r.n > 1 ? r.squares / (r.n * (r.n - 1)) : INFINITY;
		if (i <= p->count / 2 && error < least) {
			least = error;
			best = i;
		}
	}
	return best;
}

// Turns at the beginning that are unlike the second half, unless they are of a trend that goes on, or of a level that
// may come again.
static size_t find_warm_up(const struct paces *p)
{
	size_t k = 0, most = p->count / 2;
	double spread, m = middle(p, most, &spread);
	double near = fmax(4 * spread * (1 + 4 / (double)(p->count - most + 1)), 0.01 * m);
	while (k < most && fabs(p->all[k].seconds - m) > near)
		k++;
	// A single one that falls in with the rest does not end a warm-up.
	size_t later = k + 1;
	while (later < most && fabs(p->all[later].seconds - m) > near)
		later++;
	k = k > 0 && later > k + 1 ? later : k;
	if (k == 0 || off_line(p, k) <= deviation(p, k) || is_level(p, k, m) || (k == 1 && is_pause(p, m)))
		return 0;
	return least_error(p, k);
}

// --- doubts ---------------------------------------------------------------------

// At most MOST of them, neighbours put together.
static size_t thin(const struct pace *x, size_t n, struct pace *out, size_t most)
{
	size_t each = n / most + 1, k = 0;
	for (size_t i = 0; i + each <= n; i += each) {
		struct pace all = {.end = x[i + each - 1].end};
		for (size_t j = i; j < i + each; j++) {
			all.seconds += x[j].seconds * x[j].count;
			all.count += x[j].count;
		}
		all.seconds /= all.count;
		out[k++] = all;
	}
	return k;
}

// How many neighbouring turns say as much as one that stands alone: from the correlation of lag 1 of what a straight
// line leaves.
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

// Mann and Kendall's test, at 2.6 deviations, with a slope that matters: Theil and Sen's, whose steepest (Sen 1968) is
// in *most.
static double trend(const struct pace *all, size_t count, double m, double *most)
{
	enum { MOST = 100 };
	struct pace x[MOST];
	double slopes[MOST * MOST / 2], rises = 0;
	size_t n = thin(all, count, x, MOST), pairs = 0;
	if (n < 8)
		return 0;
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++) {
			double d = x[j].seconds - x[i].seconds;
			rises += (d > 0) - (d < 0);
			slopes[pairs++] = d / (x[j].end - x[i].end);
		}
	double slope = median_of(slopes, pairs), variance = (double)n * ((double)n - 1) * (2 * (double)n + 5) / 18;
	double deviation = sqrt(variance * likeness(x, n, slope));
	if (fabs(rises) < 2.6 * deviation)
		return 0;
	double rank = fmin(((double)pairs + 1.96 * deviation) / 2, (double)pairs - 1);
	*most = slopes[slope > 0 ? (size_t)rank : pairs - 1 - (size_t)rank];
	return fabs(slope) * (x[n - 1].end - x[0].end) > 0.01 * m ? slope : 0;
}

// Ashman's D of the best split in two: how far apart two halves are in terms of their own widths. Two neighbouring
// multiples of a grain are one.
static bool two_modes(double *values, size_t n, double m, double grain)
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
		if (mb - ma > fmax(0.03 * m, 1.5 * grain) && d > best)
			best = d;
	}
	return best > 5;
}

// --- the parts of the sum -------------------------------------------------------

// A part of what is left: seconds, and by how much less and more it may be.
struct part {
	double seconds, low, high;
};

static size_t take_regular(const struct paces *p, size_t first, struct pace *x)
{
	size_t n = 0;
	for (size_t i = first; i < p->count; i++)
		if (is_regular(&p->all[i]))
			x[n++] = p->all[i];
	return n;
}

// What times that are multiples of a grain may hide, in seconds for each turn. Stamps are off by one grain at most
// between the first and the last; what each turn took may be rounded the same way each time, unless it varies (Widrow
// and Kollar, Quantization Noise, 4).
static double hidden(const struct estimate_input *in, double turns, double variance)
{
	if (in->grain <= 0)
		return 0;
	if (in->stamped)
		return 0.78 * in->grain / turns;
	double real =
		fmax(variance / (in->grain * in->grain) - 0.25, 0); // less what two neighbouring multiples alone make
	return in->grain / 2 * exp(-2 * M_PI * M_PI * real);
}

// The regular turns: the mean of those seen, and how far off it and their sum may be.
static struct part regular(
	const struct estimate_input *in, struct paces *p, size_t first, double left, struct estimate *e)
{
	autofree struct pace *x = mem_alloc((p->count + 1) * sizeof *x);
	size_t n = take_regular(p, first, x);
	double seconds = 0, turns = 0, squares = 0;
	for (size_t i = 0; i < n; i++) {
		seconds += x[i].seconds * x[i].count;
		turns += x[i].count;
		p->scratch[i] = x[i].seconds;
	}
	double mean = seconds / turns, each = turns / (double)n, steepest = 0, slope = trend(x, n, mean, &steepest),
	       center = (x[0].end + x[n - 1].end) / 2;
	e->doubts |= (slope != 0 ? ESTIMATE_TREND : 0) |
		     (two_modes(p->scratch, n, mean, in->grain / each) ? ESTIMATE_TWO_MODES : 0) |
		     (n < FEW ? ESTIMATE_FEW : 0);
	for (size_t i = 0; i < n; i++) {
		squares += (x[i].seconds - mean) * (x[i].seconds - mean) / (double)n;
		p->scratch[i] = (x[i].seconds - mean - slope * (x[i].end - center)) * x[i].count;
	}
	struct series_forecast l =
		series_forecast_make(p->scratch, n, left / each, (n > 1 ? least_spread : 0.1) * mean * each);
	double grain = hidden(in, turns, squares);
	e->seen = n;
	e->turn = mean + l.mean / each;
	e->turn_low = fmax(mean + l.mean_low / each - grain, 0);
	e->turn_high = mean + l.mean_high / each + grain;
	struct part r = {mean * left + l.sum, hypot(fmax(l.sum - l.sum_low, 0), grain * left),
		hypot(fmax(l.sum_high - l.sum, 0), grain * left)};
	if (slope != 0) { // perhaps that was chance, perhaps it stays at the level it has come to, perhaps it goes on
			  // like this: from between the first two
		double come = slope * (x[n - 1].end - center) / 2, drift = steepest * left / 2;
		e->turn += come;
		e->turn_low = fmax(e->turn_low + fmin(2 * come, 0), 0);
		e->turn_high += fmax(2 * come, 0);
		r.seconds += come * left;
		r.low += fmax(slope > 0 ? come * left : -(come + drift) * left, 0);
		r.high += fmax(slope > 0 ? (come + drift) * left : -come * left, 0);
	}
	return r;
}

// Regular pauses: after how many turns; 0 when they follow no rule or one would be missing at the beginning or the end.
// A few make a rule only when the first turn of the run fits in, or chance would do.
static double regular_pauses(const struct paces *p, size_t first, size_t pauses)
{
	double begin = 0, last = 0, every = 0;
	for (size_t i = first; i < p->count; i++) {
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
	if (every < 2 || begin - p->all[first].end >= every || p->all[p->count - 1].end - last >= every)
		return 0;
	double off = fmod(begin, every);
	return pauses >= FEW || off == 0 || (off == 1 && pauses > 2) ? every : 0;
}

// Pauses as they would come by chance: the error of their rate (a gamma distribution, from Jeffreys's prior), their
// number and their sizes.
static void by_chance(struct part *r, double n, double rate, double mean, double variance)
{
	const double z2 = 1.959964 * 1.959964;
	double chance = z2 * n * rate * (mean * mean + variance), size = z2 * variance * n * rate * rate;
	double few = (n - series_forecast_gamma(n + 0.5, 0.025)) * rate * mean,
	       many = (series_forecast_gamma(n + 0.5, 0.975) - n) * rate * mean;
	r->low = fmin(sqrt(few * few + chance + size), r->seconds);
	r->high = sqrt(many * many + chance + size);
}

static struct part paused(const struct paces *p, size_t first, double at, double total, struct estimate *e)
{
	struct part r = {0};
	if (e->pauses == 0)
		return r;
	double sum = 0, squares = 0, last = 0, n = (double)e->pauses, seen = at - p->all[first].end + 1,
	       left = fmax(total - at, 0);
	for (size_t i = first; i < p->count; i++)
		if (p->all[i].pause) {
			double more = (p->all[i].seconds - e->turn) * p->all[i].count;
			sum += more;
			squares += more * more;
			last = p->all[i].end;
		}
	double mean = sum / n, variance = n > 1 ? fmax(squares / n - mean * mean, 0) * n / (n - 1) : mean * mean / 4;
	e->every = regular_pauses(p, first, e->pauses);
	double come = e->every > 0 ? floor(fmax(total - last, 0) / e->every) : n * left / seen;
	r.seconds = come * mean;
	if (e->every > 0)
		r.low = r.high = estimate_student(n - 1) * sqrt(variance * (come * come / n + come));
	else
		by_chance(&r, n, left / seen, mean, variance);
	e->doubts |= e->pauses < FEW && left > seen && (n < 3 || e->every <= 0)
			     ? ESTIMATE_PAUSES
			     : 0; // two in a rule may be chance as well
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
	if (n == 0 && !isnan(in->last)) {
		r.seconds = -come * (1 - in->last) * e->turn;
		return r;
	}
	if (n == 0) { // each takes a turn less at most, unless it brings an evaluation; one that is the end of the run
		      // too is not to be seen before
		r.low = come * e->turn;
		bool matters = come > 0.005 * (in->total - at),
		     last = come < 2 && fmod(in->total + 1e-9, in->epoch) < 1e-6;
		e->doubts |= matters && !last ? ESTIMATE_EPOCH_END : 0;
		return r;
	}
	for (size_t i = 0; i < n; i++) {
		sum += p->scratch[i];
		squares += p->scratch[i] * p->scratch[i];
	}
	double mean = sum / (double)n, t = n > 1 ? estimate_student((double)n - 1) : 2,
	       alone = fmax(e->spread, 0.05 * fabs(mean));
	double variance =
		n > 1 ? fmax(squares / (double)n - mean * mean, 0) * (double)n / ((double)n - 1) : alone * alone;
	r.seconds = come * mean;
	r.low = r.high = t * sqrt(variance * (come * come / (double)n + come));
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
	find_pauses(&p, first, &e);
	e.warm_up = first;
	e.median = middle(&p, first, &e.spread);
	double left = fmax(in->total - at, 0);
	if (isnan(e.median)) {
		e.doubts = ESTIMATE_NOTHING;
		e.turn = e.turn_low = e.turn_high = e.total = e.total_low = e.total_high = NAN;
	} else {
		struct part parts[] = {regular(in, &p, first, left, &e), paused(&p, first, at, in->total, &e),
			epoch_ends(in, &p, at, &e)};
		struct part all = {0};
		for (size_t i = 0; i < countof(parts); i++) {
			all.seconds += parts[i].seconds;
			all.low = hypot(all.low, parts[i].low);
			all.high = hypot(all.high, parts[i].high);
		}
		e.init = fmax(in->before - in->done * e.turn, 0);
		e.total = gone + fmax(all.seconds, 0);
		e.total_low = fmin(fmax(e.total - all.low, gone), e.total);
		e.total_high = e.total + all.high;
	}
	if (isnan(in->total))
		e.total = e.total_low = e.total_high = NAN;
	free(p.all);
	free(p.scratch);
	return e;
}

const char *estimate_doubt(unsigned doubts)
{
	static const char *const words[] = {"too few iterations to judge their spread", "iteration times drift",
		"iterations are of two kinds, or the machine is sometimes slower",
		"rare long iterations without a pattern: too few seen to predict how many follow",
		"no epoch has ended yet", "no iteration has ended yet"};
	for (size_t i = 0; i < countof(words); i++)
		if (doubts & 1u << i)
			return words[i];
	return NULL;
}
