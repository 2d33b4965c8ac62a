// One layer of a network, its forward beside its backward: a convolution, and what is done to its output where it is
// next read. Not a network (nn.h does the chain), not an optimiser, and not how a convolution is computed (winograd.h,
// columns.h, direct.h).
//
// Batch norm and activation are never a pass over memory of their own. A convolution writes its raw output and, while
// that is in the cache, adds up each channel's sum and sum of squares; batch norm is then two numbers a channel, and
// whoever reads the edge next applies it and the activation on the way. Backward likewise: what comes back is the
// gradient after batch norm, multiplied with the activation's slope as it is written, with each channel's two sums;
// batch norm's own backward is three numbers a channel, applied by whoever reads that gradient.
#ifndef COMMON_LAYER_H
#define COMMON_LAYER_H
#include <stdbool.h>
#include <stddef.h>

struct layer;
struct layer_device; // oneDNN's engine, and the working memory that all layers use in turn
struct layer_edge;   // what flows between two layers: a value on the way up, its gradient on the way down

enum layer_kind { LAYER_CONV, LAYER_DECONV };

// How convolutions are computed: all by oneDNN, or by Winograd's way where it fits, and as
// plain matrix products where that is quicker than oneDNN.
enum layer_way { LAYER_DIRECT, LAYER_WINOGRAD };

enum layer_activation { LAYER_LINEAR, LAYER_RELU, LAYER_TANH };

struct layer_spec {
	enum layer_kind kind;
	int channels;            // out
	int kernel, stride, pad; // square, no bias
	bool norm;               // batch norm, by the batch's own mean and variance (training)
	enum layer_activation activation;
	float slope; // relu: factor below zero (0: plain, 0.2: leaky)
};

struct layer_shape {
	int n, c, h, w;
};

// What layer_backward is to compute: the gradient of the weights, of the input, or both. Gradients of weights add up
// until one is LAST.
enum { LAYER_WEIGHTS = 1, LAYER_INPUT = 2, LAYER_LAST = 4 };

// The shape that comes out of a layer for what goes in. Dies when the layer does not fit.
struct layer_shape layer_shape_out(const struct layer_spec *spec, struct layer_shape in);

// How many floats of the flat block the layer owns: conv out*in*k*k, deconv in*out*k*k; then, with batch norm, gamma[c]
// beta[c].
size_t layer_param_count(const struct layer_spec *spec, struct layer_shape in);

// How many floats a value of this shape has.
size_t layer_shape_count(struct layer_shape shape);

// Owned by the caller; outlives every layer and edge made from it. One thread at a time.
struct layer_device *layer_device_new(void);
void layer_device_free(struct layer_device *device);

// The edge into the first layer: channels side by side without gaps. Its value is not owned but set.
struct layer_edge *layer_edge_new_input(struct layer_device *device, struct layer_shape shape);
void layer_edge_free(struct layer_edge *edge);
void layer_edge_set_value(struct layer_edge *edge, const float *value);

// Of two edges next to each other one has its gradient in place 0 and the other in place 1; until this is said they
// have none.
void layer_edge_place_gradient(struct layer_edge *edge, int place);

// Of the last edge: what comes out, N images, channels side by side without gaps, valid until the next forward; and the
// loss's gradient there, which is the same shape and may be overwritten.
const float *layer_edge_output(struct layer_edge *edge, int n);
void layer_edge_set_output_gradient(struct layer_edge *edge, int n, const float *gradient, int what);

// Of the input's edge, after a layer_backward with LAYER_INPUT; valid until the next backward of any network on the
// device.
const float *layer_edge_input_gradient(const struct layer_edge *edge);

// A layer that reads edge IN and makes *OUT (the caller's, to be freed after the layer), for batches of at most in.n.
// PARAMS and GRADS are the layer's part of the network's flat blocks, in PyTorch's order; they are not owned and must
// outlive the layer. ACCUMULATED is the number of floats that the network's layers before this one accumulate, and is
// moved on.
struct layer *layer_new(struct layer_device *device, const struct layer_spec *spec, enum layer_way way,
	struct layer_edge *in, const float *params, float *grads, size_t *accumulated, struct layer_edge **out);
void layer_free(struct layer *layer);

// The parameters were written: what was derived from them is made anew before its next use.
void layer_params_changed(struct layer *layer);

// From the value on IN to the value on OUT, N images.
void layer_forward(struct layer *layer, int n);

// From the gradient on OUT (after a forward of as many images) to the gradient on IN (LAYER_INPUT) and to GRADS, which
// it adds to (LAYER_WEIGHTS): at once, or with LAYER_LAST, which then brings all that was held back.
void layer_backward(struct layer *layer, int n, int what);

// What computes the convolution: "winograd", "columns" or "direct".
const char *layer_way_name(const struct layer *layer);

// The instructions that matrix products use here, in words.
const char *layer_isa(void);

#endif
