// Initial weights and noise from a file, so that a training can be compared with another program's.
// Not a checkpoint: no optimiser state, no position.
#ifndef DCGAN_INIT_H
#define DCGAN_INIT_H
#include <stddef.h>
#include <stdint.h>

// The file: "dcgan-1\n", three 64-bit counts (generator's parameters, discriminator's, floats of noise), then the
// floats in that order; all little endian. Parameters are in PyTorch's order and layouts.
struct init {
	char *path;
	float *all;
	size_t generator, discriminator, noise;
};

// Dies when PATH is not such a file, or the networks have other numbers of parameters.
void init_load(struct init *i, const char *path, size_t generator, size_t discriminator);
void init_fini(struct init *i);

// The CRC-32 of all its floats, 0 when nothing was loaded.
uint32_t init_digest(const struct init *i);

const float *init_generator(const struct init *i);
const float *init_discriminator(const struct init *i);

// The noise from float OFFSET on. Dies when the file has fewer than OFFSET + COUNT.
const float *init_noise(const struct init *i, size_t offset, size_t count);

#endif
