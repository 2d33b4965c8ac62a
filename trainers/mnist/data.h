// Images of 28 x 28 bytes with their labels, inflated only as far as they are used, and the order in which training
// uses them. Not the file format (common/idx.h).
#ifndef MNIST_DATA_H
#define MNIST_DATA_H
#include "common/idx.h"

#include <stddef.h>
#include <stdint.h>

struct data {
	struct idx_reader reader;
	size_t count;
	uint8_t *pixels, *labels;
};

// The split's images and labels in DIR. Dies when they are not there or not 28 x 28 with labels below 10.
void data_open(struct data *d, const char *dir, int test);
void data_close(struct data *d);

// Image INDEX, for as long as D is open; its label is labels[INDEX].
const uint8_t *data_image(struct data *d, size_t index);

// The order of COUNT images, epoch after epoch without end: each epoch has each image once. Images are shuffled within
// windows of DATA_WINDOW of them. The windows come in the file's order in the first epoch, so that training starts
// before the whole file is inflated, and in random order in every other.
#define DATA_WINDOW 4096

struct data_order {
	size_t count;
	uint64_t seed, epoch;
	uint32_t *index; // of the epoch
};

void data_order_init(struct data_order *o, size_t count, uint64_t seed);
void data_order_fini(struct data_order *o);

// The image that is used POSITION-th, from 0.
size_t data_order_at(struct data_order *o, uint64_t position);

#endif
