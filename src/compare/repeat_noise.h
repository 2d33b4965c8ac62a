// The noise of a measurement: how much repeats differ, for several small groups of repeats, and the intervals that
// follow. It knows nothing of runs.
#ifndef COMPARE_REPEAT_NOISE_H
#define COMPARE_REPEAT_NOISE_H

#include <stddef.h>

// Repeats of one thing.
struct repeat_noise_group {
	size_t count;
	double variance; // of the repeats relative to their mean (count - 1 degrees of freedom); not read when count is
			 // below 2
};

struct repeat_noise;

// Two or three repeats of one group say little of its noise, and another group may have another noise; so the groups'
// variances are taken for draws from one distribution (scaled inverse chi-square), of which the groups together tell
// where it lies and how far it spreads: the hierarchical model of Smyth (2004), but with the two parameters integrated
// over a grid instead of estimated, since they too are known from a few groups only, and with a share of groups that
// are unlike the others, so that a noisy one does not widen the intervals of the quiet ones. Owned by the caller. NULL
// when no group has two repeats.
struct repeat_noise *repeat_noise_new(const struct repeat_noise_group *groups, size_t count);
void repeat_noise_free(struct repeat_noise *n); // takes NULL

// Half of the 95 % interval of the group's mean, relative to it. A group may have a single repeat: its noise is then
// known from the others alone. NAN when n is NULL.
double repeat_noise_half(const struct repeat_noise *n, const struct repeat_noise_group *group);

#endif
