#include "common/rng.h"

#include <math.h>

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

void rng_init(struct rng *r, uint64_t seed, uint64_t purpose, uint64_t index)
{
	// Mixed after each part, so that neighbours (epoch 1 and 2, rank 0 and 1) start far apart.
	uint64_t s = mix(seed + 0x9e3779b97f4a7c15u);
	s = mix(s + purpose + 0x9e3779b97f4a7c15u);
	s = mix(s + index + 0x9e3779b97f4a7c15u);
	*r = (struct rng){.state = s};
}

uint64_t rng_next(struct rng *r)
{
	r->state += 0x9e3779b97f4a7c15u;
	return mix(r->state);
}

uint64_t rng_below(struct rng *r, uint64_t limit)
{
	uint64_t whole = UINT64_MAX - UINT64_MAX % limit; // beyond it the remainder would favour small numbers
	uint64_t x = rng_next(r);
	while (x >= whole)
		x = rng_next(r);
	return x % limit;
}

double rng_normal(struct rng *r)
{
	if (r->has_spare) {
		r->has_spare = false;
		return r->spare;
	}
	double u = ((double)(rng_next(r) >> 11) + 1) * 0x1p-53; // in (0, 1]: its logarithm is finite
	double v = (double)(rng_next(r) >> 11) * 0x1p-53;
	double radius = sqrt(-2 * log(u));
	r->spare = radius * sin(2 * M_PI * v);
	r->has_spare = true;
	return radius * cos(2 * M_PI * v);
}

void rng_fill_normal(struct rng *r, float *out, size_t count, double mean, double deviation)
{
	for (size_t i = 0; i < count; i++)
		out[i] = (float)(mean + deviation * rng_normal(r));
}

void rng_shuffle(struct rng *r, uint32_t *index, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		size_t j = rng_below(r, i);
		uint32_t t = index[i - 1];
		index[i - 1] = index[j];
		index[j] = t;
	}
}
