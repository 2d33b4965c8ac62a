// A trained network: how good it is on the test images, and the file it is written to.
// Not its training.
#ifndef MNIST_MODEL_H
#define MNIST_MODEL_H
#include "mnist/data.h"

struct model_score {
	double accuracy; // of all images, the part that was put into the right class
	double loss;     // mean cross entropy in nats
};

// Of the network with HIDDEN hidden units and parameters ROWS (net.h), on all images of TEST.
struct model_score model_test(const float *const *rows, size_t hidden, struct data *test);

// Writes DIR/mnist.model, beside and renamed: "mnist-1\n", two 64-bit numbers (hidden units, global steps), then
// floats, all little endian: weights [784][hidden], biases [hidden], weights [hidden][10], biases [10].
void model_save(const char *dir, const float *const *rows, size_t hidden, uint64_t steps);

#endif
