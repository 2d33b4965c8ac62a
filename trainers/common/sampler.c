#include "common/sampler.h"

#include "common/die.h"
#include "common/mem.h"
#include "common/rng.h"

#include <stdlib.h>

#define PURPOSE_SHUFFLE 1

void sampler_init(struct sampler *s, size_t total, int rank, int size, uint64_t seed)
{
	if (total == 0 || total > UINT32_MAX)
		die("%zu images: expected from 1 to %u", total, UINT32_MAX);
	*s = (struct sampler){.total = total, .rank = rank, .size = size, .seed = seed};
	s->count = (total + (size_t)size - 1) / (size_t)size;
	s->all = mem_new(total, sizeof *s->all);
	s->mine = mem_new(s->count, sizeof *s->mine);
}

void sampler_fini(struct sampler *s)
{
	free(s->all);
	free(s->mine);
}

void sampler_epoch(struct sampler *s, uint64_t epoch)
{
	struct rng r;
	rng_init(&r, s->seed, PURPOSE_SHUFFLE, epoch);
	for (size_t i = 0; i < s->total; i++) // from the start each time: epoch 7 does not depend on whether 6 was run
		s->all[i] = (uint32_t)i;
	rng_shuffle(&r, s->all, s->total);
	for (size_t i = 0; i < s->count; i++)
		s->mine[i] = s->all[((size_t)s->rank + i * (size_t)s->size) % s->total];
}

size_t sampler_batches(const struct sampler *s, size_t batch)
{
	return (s->count + batch - 1) / batch;
}
