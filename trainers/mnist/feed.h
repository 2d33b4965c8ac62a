// A worker's batches: which images are in its N-th, loaded into the network.
// Not the order of all images (data.h).
#ifndef MNIST_FEED_H
#define MNIST_FEED_H
#include "mnist/data.h"
#include "mnist/net.h"

struct feed {
	struct data data;
	struct data_order order;
	uint32_t index, workers;
	size_t batch;
	const uint8_t **images;
	uint8_t *labels;
};

// The training images in DIR, for worker INDEX of WORKERS. Dies when they are not there.
void feed_init(struct feed *f, const char *dir, uint64_t seed, uint32_t index, uint32_t workers, size_t batch);
void feed_fini(struct feed *f);

// Loads batch NUMBER, from 0. The order of all images is dealt out in turn: the batches NUMBER of all workers are
// together what one worker alone would take as its batch NUMBER were it as large as theirs together.
void feed_load(struct feed *f, uint64_t number, struct net *net);

#endif
