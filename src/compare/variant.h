// A variant: one cluster of a comparison, and what its runs show: the repeats, their times, what went wrong.
// It reads one run at a time and compares none.
#ifndef COMPARE_VARIANT_H
#define COMPARE_VARIANT_H

#include "base/error.h"
#include "compare/repeat_noise.h"
#include "run/run.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// A number and where it lies with 95 %.
struct variant_range {
	double value, low, high;
};

extern const struct variant_range variant_unknown; // all NAN

// What one run says.
struct variant_trial {
	bool failed, predicted;
	struct variant_range seconds, turn; // of the program's run, of an iteration
	double mean;                        // as seconds, the mean over the nodes where the run was whole
	double init, overhead, cores;
};

struct variant {
	char *name, *does; // the cluster's; what its first run did: command and environment
	char *kind;        // the same for those that differ in the number of nodes alone; NULL: not known
	char *differs;     // what another of its runs did, when that was something else
	json_t *plan, *sets, *runs, *doubts, *failures;
	struct variant_trial *record;
	size_t ntrials;
	double *turns; // seconds of single turns, of all repeats
	size_t nturns;
	size_t nodes;
	double cpus;   // of all nodes; NAN where they are not limited
	bool modelled; // not run: predicted from others
	// The sum of it, by variant_sum.
	size_t good;
	bool predicted;
	struct variant_range seconds, turn, cost;
	double mean, init, overhead;
};

// A variant without runs, to which others can be added. plan and sets (may be NULL) are kept.
struct variant variant_make(const char *name, json_t *plan, json_t *sets);
void variant_fini(struct variant *s);

// "2 x local, 0.5 CPUs": what the nodes of a plan are; owned by the caller.
char *variant_name(const json_t *plan);

// Adds what a run with that plan says. It counts as failed when it has neither ended well nor, while it goes on, shown
// enough iterations. -1 and err when its directory cannot be read.
int variant_add(struct variant *s, const struct run *run, const json_t *plan, struct error *err);

// Adds a run of which nothing can be read, or (id is NULL) that could not even begin: it has failed, and why.
void variant_add_lost(struct variant *s, const char *id, const char *why);

// What the repeats of a quantity differ by; offset is of the struct variant_range in struct variant_trial.
struct repeat_noise_group variant_spread(const struct variant *s, size_t offset);

// Puts the repeats together. The noises are those of all sides (may be NULL).
void variant_sum(
	struct variant *s, const struct repeat_noise *seconds, const struct repeat_noise *turns, const json_t *prices);

// What the nodes cost for so long as the program and what goes with it take. cores: of a node, for prices by CPU; 0:
// not known.
struct variant_range variant_cost(const struct variant *s, const json_t *prices, double cores);

// Do they differ in the number of nodes alone?
bool variant_same_kind(const struct variant *a, const struct variant *b);

#endif
