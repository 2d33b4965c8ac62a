// The training images of a data set, decoded once, handed out as batches of floats.
// Not the order they come in (common/sampler.h) and not the file formats (common/idx.h, cifar.h, folder.h).
#ifndef DCGAN_DATA_H
#define DCGAN_DATA_H
#include "common/image.h"
#include "common/resize.h"
#include "dcgan/options.h"

struct data {
	struct images images; // as they were stored: small ones are resized when they are used, 1 to 3 ms for a batch
			      // of 128 on one thread
	int size;
	int workers;
	struct data_worker *worker; // one for each OpenMP thread
};

// Loads what the options name, to be used by as many threads as OpenMP has now. Dies when it cannot.
void data_init(struct data *d, const struct options *o);
void data_fini(struct data *d);

// The CRC-32 of all images as they were stored, in their order: to tell another data set by.
uint32_t data_digest(const struct data *d);

// The images INDEX[0..COUNT) as COUNT x size x size x channels floats in [-1, 1].
void data_batch(struct data *d, const uint32_t *index, int count, float *out);

#endif
