// Streams of iterations of known shape and known length: how far off an estimate from the first ones is, and how often its interval holds the
// truth. Prints a table, estimates beside the usual rules of thumb.
//
//     simulate [RUNS [TURNS_SEEN [TURNS]]]
#include "base/mem.h"
#include "run/estimate.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SEEN = 1000 };

struct stream {
	size_t i; // turns so far
	double state; // of what shapes remember
};

struct shape {
	const char *name;
	double (*turn)(struct stream *s);
	double epoch, last;
	bool unruly; // an estimate must say that it is not to be trusted
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

static double rare_pauses(struct stream *s) // by chance, one turn in ten
{
	return 1 + 0.01 * normal() + (uniform() < 0.1 ? 1 : 0);
}

static double checkpoints(struct stream *s) // every 8 turns
{
	return 1 + 0.01 * normal() + ((s->i + 1) % 8 == 0 ? 2 + 0.1 * normal() : 0);
}

static double two_kinds(struct stream *s)
{
	return (uniform() < 0.4 ? 1.3 : 1) * (1 + 0.01 * normal());
}

static double two_speeds(struct stream *s) // a machine that is slower now and then, some turns at a time
{
	if (uniform() < 0.25)
		s->state = uniform() < 0.5;
	return (1 + 0.2 * s->state) * (1 + 0.01 * normal());
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
	{"steady", steady, 0, NAN, false},
	{"quiet", quiet, 0, NAN, false},
	{"warm-up", warm_up, 0, NAN, false},
	{"slow warm-up", slow_warm_up, 0, NAN, false},
	{"neighbours alike", alike, 0, NAN, false},
	{"skewed", skewed, 0, NAN, false},
	{"heavy tail", heavy_tail, 0, NAN, false},
	{"rare pauses", rare_pauses, 0, NAN, false},
	{"checkpoints", checkpoints, 0, NAN, false},
	{"partial batch", partial, 12, 0.3, false},
	{"partial, unseen", partial_unseen, 100, 0.3, false},
	{"evaluations", evaluations, 12, NAN, false},
	{"two kinds", two_kinds, 0, NAN, true},
	{"two speeds", two_speeds, 0, NAN, true},
	{"drift", drift, 0, NAN, true},
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

// The line of each turn is printed at its end, so the first one is part of what comes before the first head.
static void try_shape(const struct shape *shape, size_t runs, size_t seen, size_t total)
{
	struct errors errors[METHODS];
	for (size_t k = 0; k < METHODS; k++)
		errors[k] = (struct errors){mem_alloc(runs * sizeof(double)), runs};
	size_t held = 0, doubted = 0;
	double width = 0;
	for (size_t r = 0; r < runs; r++) {
		struct stream s = {0};
		double first[MOST_SEEN] = {0}, truth = 5 + uniform();
		double init = truth;
		for (; s.i < total; s.i++) {
			double seconds = fmax(shape->turn(&s), 1e-3);
			if (s.i < seen)
				first[s.i] = seconds;
			truth += seconds;
		}
		struct estimate_turn turns[MOST_SEEN];
		for (size_t i = 1; i < seen; i++)
			turns[i - 1] = (struct estimate_turn){first[i], 1};
		struct estimate_input input = {.before = init + first[0], .done = 1, .total = (double)total, .epoch = shape->epoch,
			.last = shape->last, .turns = turns, .count = seen - 1};
		struct estimate e = estimate_make(&input);
		double n = (double)total;
		double guesses[METHODS] = {e.total, (init + mean_of(first, 0, seen) * (double)seen) / (double)seen * n, init + n * mean_of(first, 1, 11),
			init + n * median_of(first, 1, 11)};
		for (size_t k = 0; k < METHODS; k++)
			errors[k].values[r] = 100 * fabs(guesses[k] / truth - 1);
		held += e.total_low <= truth && truth <= e.total_high;
		doubted += (e.doubts & (ESTIMATE_TREND | ESTIMATE_TWO_MODES)) != 0;
		width += 50 * (e.total_high - e.total_low) / truth / (double)runs;
	}
	printf("%-17s %8.2f %8.2f %8.1f %8.2f %8.1f   ", shape->name, quantile(&errors[0], 0.5), quantile(&errors[0], 1), 100.0 * (double)held / (double)runs,
		width, 100.0 * (double)doubted / (double)runs);
	for (size_t k = 1; k < METHODS; k++)
		printf(" %7.2f %7.2f", quantile(&errors[k], 0.5), quantile(&errors[k], 1));
	printf("%s\n", shape->unruly ? "   (not to be trusted)" : "");
	for (size_t k = 0; k < METHODS; k++)
		free(errors[k].values);
}

int main(int argc, char **argv)
{
	size_t runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000, seen = argc > 2 ? strtoul(argv[2], NULL, 10) : 20;
	size_t total = argc > 3 ? strtoul(argv[3], NULL, 10) : 1000;
	if (runs < 1 || seen < 12 || seen > MOST_SEEN || total < seen) {
		fprintf(stderr, "usage: simulate [RUNS [TURNS_SEEN [TURNS]]], at least 12 turns seen\n");
		return 2;
	}
	printf("%zu runs of %zu turns of each shape, estimated from the first %zu; errors of the whole run's time in %%\n", runs, total, seen);
	printf("%-17s %17s %8s %8s %8s   %16s %15s %15s\n", "", "estimate", "held", "+-", "doubted", "mean from zero", "mean of 2-11", "median of 2-11");
	printf("%-17s %8s %8s %8s %8s %8s   ", "shape", "median", "worst", "%", "%", "%");
	printf(" %7s %7s %7s %7s %7s %7s\n", "median", "worst", "median", "worst", "median", "worst");
	for (size_t i = 0; i < countof(shapes); i++)
		try_shape(&shapes[i], runs, seen, total);
	return 0;
}
