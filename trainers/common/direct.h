// A convolution or a transposed one of any shape, on oneDNN.
// Not batch norm and activation, and not Winograd's way (winograd.h).
#ifndef COMMON_DIRECT_H
#define COMMON_DIRECT_H
#include "common/op.h"

#include <stdbool.h>

// Values have their channels side by side, LD floats from pixel to pixel.
struct direct_side {
	int n, channels, edge, ld;
};

struct direct_shape {
	bool transposed;
	int kernel, stride, pad;
	struct direct_side in, out;
};

struct direct;

// For batches of exactly in.n = out.n images. PARAMS are the weights in PyTorch's order, not owned. Owned by the
// caller; DEVICE must outlive it.
struct direct *direct_new(struct op_device *device, const struct direct_shape *shape, const float *params);
void direct_free(struct direct *d);

// The weights were written: their copies in oneDNN's layouts are made anew before their next use.
void direct_weights_changed(struct direct *d);

void direct_forward(struct direct *d, const float *in, float *out);

// From the gradient on OUT to the one on IN, and to the weights', which it adds to in PyTorch's order.
void direct_backward_data(struct direct *d, const float *out, float *in);
void direct_backward_weights(struct direct *d, const float *in, const float *out, float *grads);

#endif
