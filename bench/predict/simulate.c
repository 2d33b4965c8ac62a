// Streams of iterations of known shape and known length: how far off an estimate from the first ones is, and how often
// its interval holds the truth. Prints a table, estimates beside the usual rules of thumb.
//
//     simulate [RUNS [TURNS_SEEN [TURNS]]]
#include "base/mem.h"
#include "predict/estimate.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SEEN = 1000, LEAST_SEEN = 6 };

struct stream {
	size_t i;           // turns so far
	double state, gone; // of what shapes remember, and seconds so far
	unsigned kinds;     // of turns so far, a bit each, where a shape has several
};

// How a log shows a stream: as it is, or in lines that are fewer or less exact.
struct view {
	size_t every;  // a line each so many turns
	double stamps; // time stamps are cut to so many seconds
	double digits; // times of turns are rounded to so many seconds
};

struct shape {
	const char *name;
	double (*turn)(struct stream *s);
	double epoch, last;
	unsigned kinds; // what the first turns must have shown for anybody to know
	bool unruly;    // an estimate must say that it is not to be trusted
	struct view view;
};

// --- random numbers, the same each time -----------------------------------------

static unsigned long long seed = 88172645463325252ULL;

static double uniform(void) // in (0, 1): xorshift (Marsaglia 2003)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return ((double)(seed >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

// --- shapes: seconds of turn s->i, counted from 0 -------------------------------

static double steady(struct stream *s)
{
	return 1 + 0.02 * normal();
}

static double quiet(struct stream *s)
{
	return 1 + 0.002 * normal();
}

static double warm_up(struct stream *s)
{
	return (1 + 0.02 * normal()) * (s->i < 4 ? 3 - 0.5 * (double)s->i : 1);
}

static double slow_warm_up(struct stream *s)
{
	return (1 + 0.01 * normal()) * (1 + exp(-(double)s->i / 2));
}

static double alike(struct stream *s) // neighbours are alike
{
	s->state = 0.6 * s->state + 0.8 * 0.02 * normal();
	return 1 + s->state;
}

static double skewed(struct stream *s)
{
	return 0.95 + 0.05 * -log(uniform());
}

static double heavy_tail(struct stream *s) // log-normal
{
	return exp(0.4 * normal());
}

static double kind(struct stream *s, unsigned bit, double seconds)
{
	s->kinds |= bit;
	return seconds;
}

static double rare_pauses(struct stream *s) // by chance, one turn in ten
{
	return 1 + 0.01 * normal() + (uniform() < 0.1 ? kind(s, 1, 1) : 0);
}

static double collections(struct stream *s) // of garbage: each 5 turns or so, of differing length
{
	return 1 + 0.02 * normal() + (uniform() < 0.2 ? kind(s, 1, 0.3 - 0.1 * log(uniform())) : 0);
}

static double checkpoints(struct stream *s) // every 8 turns
{
	return 1 + 0.01 * normal() + ((s->i + 1) % 8 == 0 ? 2 + 0.1 * normal() : 0);
}

static double two_kinds(struct stream *s)
{
	return (uniform() < 0.4 ? kind(s, 1, 1.3) : kind(s, 2, 1)) * (1 + 0.01 * normal());
}

static double two_speeds(struct stream *s) // a machine that is slower now and then, some turns at a time
{
	if (uniform() < 0.25)
		s->state = uniform() < 0.5;
	return (s->state > 0 ? kind(s, 1, 1.2) : kind(s, 2, 1)) * (1 + 0.01 * normal());
}

static double first_tenfold(struct stream *s)
{
	return (s->i == 1 ? 10 : 1) * (1 + 0.02 * normal());
}

// A quota of CPU time: so much of each period, and what the program does then is wait for the next one. It starts with
// some that was saved up.
static double quota(struct stream *s, double period, double share, double saved, double work)
{
	double begin = s->gone, at = begin;
	if (s->i == 0)
		s->state = saved;
	while (work > s->state) {
		work -= s->state;
		at = (floor(at / period + 1e-9) + 1) * period;
		s->state = share * period;
	}
	s->state -= work;
	return at + work - begin;
}

static double throttled(struct stream *s) // half a processor, 100 ms at a time
{
	return quota(s, 0.1, 0.5, 0.05, 0.064 * (1 + 0.02 * normal()));
}

static double throttled_burst(struct stream *s)
{
	return quota(s, 0.1, 0.2, 0.06, 0.066 * (1 + 0.05 * normal()));
}

static double hot(struct stream *s) // slower by a tenth once it is hot
{
	return (s->i >= 30 ? kind(s, 1, 1.1) : 1) * (1 + 0.01 * normal());
}

static double short_turns(struct stream *s)
{
	return 0.126 * (1 + 0.02 * normal());
}

static double shorter_turns(struct stream *s)
{
	return 0.126 * (1 + 0.06 * normal());
}

static double long_turns(struct stream *s)
{
	return 3.3 * (1 + 0.02 * normal());
}

static double drift(struct stream *s)
{
	return 1 + 0.003 * (double)s->i + 0.01 * normal();
}

static double partial(struct stream *s) // the last of 12 is three tenths of a batch
{
	return (1 + 0.02 * normal()) * ((s->i + 1) % 12 == 0 ? 0.3 : 1);
}

static double partial_unseen(struct stream *s)
{
	return (1 + 0.02 * normal()) * ((s->i + 1) % 100 == 0 ? 0.3 : 1);
}

static double evaluations(struct stream *s) // after each epoch of 12
{
	return (1 + 0.02 * normal()) + ((s->i + 1) % 12 == 0 ? 3 : 0);
}

static const struct shape shapes[] = {
	{"steady", steady, .last = NAN},
	{"quiet", quiet, .last = NAN},
	{"warm-up", warm_up, .last = NAN},
	{"slow warm-up", slow_warm_up, .last = NAN},
	{"a turn of tenfold", first_tenfold, .last = NAN},
	{"neighbours alike", alike, .last = NAN},
	{"skewed", skewed, .last = NAN},
	{"heavy tail", heavy_tail, .last = NAN},
	{"rare pauses", rare_pauses, .last = NAN, .kinds = 1},
	{"collections", collections, .last = NAN, .kinds = 1},
	{"checkpoints", checkpoints, .last = NAN},
	{"partial batch", partial, .epoch = 12, .last = 0.3},
	{"partial, unseen", partial_unseen, .epoch = 100, .last = 0.3},
	{"evaluations", evaluations, .epoch = 12, .last = NAN},
	{"quota, 1 turn", throttled, .last = NAN},
	{"quota, saved up", throttled_burst, .last = NAN},
	{"a line each 5", steady, .last = NAN, .view = {.every = 5}},
	{"alike, each 3", alike, .last = NAN, .view = {.every = 3}},
	{"times to 10 ms", short_turns, .last = NAN, .view = {.digits = 0.01}},
	{"noisy, to 10 ms", shorter_turns, .last = NAN, .view = {.digits = 0.01}},
	{"stamps of 1 s", shorter_turns, .last = NAN, .view = {.stamps = 1}},
	{"long, of 1 s", long_turns, .last = NAN, .view = {.stamps = 1}},
	{"two kinds", two_kinds, .last = NAN, .kinds = 3},
	{"two speeds", two_speeds, .last = NAN, .kinds = 3, .unruly = true},
	{"hot after 30", hot, .last = NAN, .kinds = 1, .unruly = true},
	{"drift", drift, .last = NAN, .unruly = true},
};

// --- one shape ------------------------------------------------------------------

struct errors {
	double *values;
	size_t count;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double quantile(struct errors *e, double q)
{
	qsort(e->values, e->count, sizeof *e->values, compare);
	return e->values[(size_t)(q * (double)(e->count - 1))];
}

static double mean_of(const double *x, size_t from, size_t to)
{
	double sum = 0;
	for (size_t i = from; i < to; i++)
		sum += x[i];
	return sum / (double)(to - from);
}

static double median_of(const double *x, size_t from, size_t to)
{
	double copy[MOST_SEEN];
	memcpy(copy, x + from, (to - from) * sizeof *x);
	qsort(copy, to - from, sizeof *copy, compare);
	return copy[(to - from) / 2];
}

enum { METHODS = 4 };

struct run {
	double init, truth, first[MOST_SEEN]; // seconds: before the first turn, of all of it, of the first turns
	bool shown;                           // all kinds of turns the shape has are among the first
};

static struct run run_make(const struct shape *shape, size_t seen, size_t total)
{
	struct stream s = {0};
	struct run r = {.init = 5 + uniform()};
	for (; s.i < total; s.i++) {
		double seconds = fmax(shape->turn(&s), 1e-3);
		if (s.i < seen)
			r.first[s.i] = seconds;
		s.gone += seconds;
		s.kinds = s.i == 0 ? 0 : s.kinds; // the first one is not seen
		if (s.i + 1 == seen)
			r.shown = (s.kinds & shape->kinds) == shape->kinds;
	}
	r.truth = r.init + s.gone;
	return r;
}

// What the log shows of the first turns. The line of each is printed at its end, so the first one is part of what comes
// before the first head. Of lines with the same stamp the first counts, as logfile.c takes them.
static struct estimate_input look(const struct run *r, const struct view *v, size_t seen, struct estimate_turn *turns)
{
	size_t every = v->every ? v->every : 1, told = 0;
	double at = r->init, head = v->stamps > 2 * r->first[0] ? floor(r->init + r->first[0]) : (double)NAN;
	struct estimate_input in = {
		.last = NAN, .turns = turns, .grain = fmax(v->digits, v->stamps), .stamped = v->stamps > 0};
	for (size_t i = 0; i < seen; i++) {
		at += v->digits > 0 ? round(r->first[i] / v->digits) * v->digits : r->first[i];
		double stamp = v->stamps > 0 ? floor(at / v->stamps) * v->stamps : at;
		if ((i + 1) % every || stamp == head)
			continue; // no line, or another with the same stamp
		if (told == 0)
			in.before = stamp, in.done = (double)(i + 1);
		else
			turns[in.count++] = (struct estimate_turn){stamp - head, (double)(i + 1 - told)};
		head = stamp;
		told = i + 1;
	}
	return in;
}

struct sums {
	struct errors errors[METHODS], widths;
	double held, shown, held_shown, doubted, trusted;
};

static void try_run(struct sums *t, const struct shape *shape, size_t at, size_t seen, size_t total)
{
	struct run r = run_make(shape, seen, total);
	struct estimate_turn turns[MOST_SEEN];
	struct estimate_input in = look(&r, &shape->view, seen, turns);
	in.total = (double)total;
	in.epoch = shape->epoch;
	in.last = shape->last;
	struct estimate e = estimate_make(&in);
	double n = (double)total;
	size_t end = seen < 11 ? seen : 11;
	double guesses[METHODS] = {e.total, (r.init + mean_of(r.first, 0, seen) * (double)seen) / (double)seen * n,
		r.init + n * mean_of(r.first, 1, end), r.init + n * median_of(r.first, 1, end)};
	for (size_t k = 0; k < METHODS; k++)
		t->errors[k].values[at] = 100 * fabs(guesses[k] / r.truth - 1);
	bool held = e.total_low <= r.truth && r.truth <= e.total_high;
	t->held += held;
	t->shown += r.shown;
	t->held_shown += held && r.shown;
	t->doubted += e.doubts != 0;
	t->trusted += held || e.doubts;
	t->widths.values[at] = 50 * (e.total_high - e.total_low) / r.truth;
}

static void try_shape(const struct shape *shape, size_t runs, size_t seen, size_t total)
{
	struct sums t = {.widths = {mem_alloc(runs * sizeof(double)), runs}};
	double hundredth = (double)runs / 100;
	for (size_t k = 0; k < METHODS; k++)
		t.errors[k] = (struct errors){mem_alloc(runs * sizeof(double)), runs};
	for (size_t i = 0; i < runs; i++)
		try_run(&t, shape, i, seen, total);
	printf("%-17s %7.2f %7.2f %7.1f %7.1f %7.1f %7.1f %7.2f   ", shape->name, quantile(&t.errors[0], 0.5),
		quantile(&t.errors[0], 1), t.held / hundredth, t.shown > 0 ? 100 * t.held_shown / t.shown : (double)NAN,
		t.doubted / hundredth, t.trusted / hundredth, quantile(&t.widths, 0.5));
	for (size_t k = 1; k < METHODS; k++)
		printf(" %7.2f %7.2f", quantile(&t.errors[k], 0.5), quantile(&t.errors[k], 1));
	printf("%s\n", shape->unruly ? "   (not to be trusted)" : "");
	for (size_t k = 0; k < METHODS; k++)
		free(t.errors[k].values);
	free(t.widths.values);
}

int main(int argc, char **argv)
{
	size_t runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000, seen = argc > 2 ? strtoul(argv[2], NULL, 10) : 20;
	size_t total = argc > 3 ? strtoul(argv[3], NULL, 10) : 1000;
	if (runs < 1 || seen < LEAST_SEEN || seen > MOST_SEEN || total < seen) {
		fprintf(stderr, "usage: simulate [RUNS [TURNS_SEEN [TURNS]]], at least %d turns seen\n", LEAST_SEEN);
		return 2;
	}
	printf("%zu runs of %zu turns of each shape, estimated from the first %zu; errors of the whole run's time in "
	       "%%\n",
		runs, total, seen);
	printf("shown: of the runs whose first turns had every kind that there is; told: held or doubted; +-: half of "
	       "the interval, median\n");
	printf("%-17s %15s %7s %7s %7s %7s %7s   %16s %15s %15s\n", "", "estimate", "held", "shown", "doubted", "told",
		"+-", "mean from zero", "mean of 2-11", "median of 2-11");
	printf("%-17s %7s %7s %7s %7s %7s %7s %7s   ", "shape", "median", "worst", "%", "%", "%", "%", "%");
	printf(" %7s %7s %7s %7s %7s %7s\n", "median", "worst", "median", "worst", "median", "worst");
	for (size_t i = 0; i < countof(shapes); i++)
		try_shape(&shapes[i], runs, seen, total);
	return 0;
}
