// Which image each rank sees when: one shuffle per epoch that all ranks agree on, dealt out in turn.
// Not a data loader: it gives numbers, not images.
#ifndef COMMON_SAMPLER_H
#define COMMON_SAMPLER_H
#include <stddef.h>
#include <stdint.h>

struct sampler {
	size_t total; // images there are
	size_t count; // images each rank sees in an epoch: total / size, rounded up
	int rank, size;
	uint64_t seed;
	uint32_t *all, *mine; // of the epoch; mine has count
};

// Dies when TOTAL is 0 or does not fit in 32 bits.
void sampler_init(struct sampler *s, size_t total, int rank, int size, uint64_t seed);
void sampler_fini(struct sampler *s);

// Shuffles for EPOCH (from 0) and takes every size-th image from rank on, into s->mine. Where the total does not
// divide, the order is wrapped round, so that every rank gets the same number (PyTorch's DistributedSampler deals the
// same way).
void sampler_epoch(struct sampler *s, uint64_t epoch);

// Batches of BATCH in an epoch; the last may be smaller.
size_t sampler_batches(const struct sampler *s, size_t batch);

#endif
