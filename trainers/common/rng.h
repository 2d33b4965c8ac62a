// Random numbers that are the same on every machine and every rank for the same seed.
// Not for secrets.
#ifndef COMMON_RNG_H
#define COMMON_RNG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t state;
	double spare; // normals come in pairs; the second one waits here
	bool has_spare;
};

// A stream of its own for each (SEED, PURPOSE, INDEX): purposes and indices never share numbers in practice.
void rng_init(struct rng *r, uint64_t seed, uint64_t purpose, uint64_t index);

// The next 64 bits (splitmix64).
uint64_t rng_next(struct rng *r);

// Uniform in [0, LIMIT), without bias. LIMIT > 0.
uint64_t rng_below(struct rng *r, uint64_t limit);

// Normal with mean 0 and deviation 1.
double rng_normal(struct rng *r);

// OUT[0..COUNT) from N(MEAN, DEVIATION).
void rng_fill_normal(struct rng *r, float *out, size_t count, double mean, double deviation);

// Puts INDEX[0..COUNT) into random order (Fisher-Yates from the end).
void rng_shuffle(struct rng *r, uint32_t *index, size_t count);

#endif
