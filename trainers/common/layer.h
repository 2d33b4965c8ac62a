// One layer of a network: its forward beside its backward, on oneDNN.
// Not a network (nn.h does the chain) and not an optimiser; nothing above it knows oneDNN.
#pragma once
#include <stddef.h>

struct layer;
struct layer_device; // the engine, its stream and the scratch memory all layers share
struct layer_edge;   // what flows between two layers: a value on the way up, its gradient on the way down

enum layer_kind { LAYER_CONV, LAYER_DECONV, LAYER_BATCH_NORM, LAYER_RELU, LAYER_TANH };

struct layer_spec {
	enum layer_kind kind;
	int channels;            // conv, deconv: channels out
	int kernel, stride, pad; // conv, deconv: square, no bias
	float slope;             // relu: factor below zero (0: plain, 0.2: leaky)
};

struct layer_shape {
	int n, c, h, w;
};

// What layer_backward is to compute: the gradient of the weights, of the input, or both.
enum { LAYER_WEIGHTS = 1, LAYER_INPUT = 2 };

// The shape that comes out of a layer for what goes in. Dies when the layer does not fit.
struct layer_shape layer_shape_out(const struct layer_spec *spec, struct layer_shape in);

// How many floats of the flat block the layer owns: conv out*in*k*k, deconv in*out*k*k, batch norm gamma[c] beta[c].
size_t layer_param_count(const struct layer_spec *spec, struct layer_shape in);

// How many floats a value of this shape has.
size_t layer_shape_count(struct layer_shape shape);

// Owned by the caller; outlives every layer and edge made from it. One thread at a time.
struct layer_device *layer_device_new(void);
void layer_device_free(struct layer_device *device);

// The edge into the first layer, in plain NCHW; its value is not owned but set by layer_edge_set_value.
struct layer_edge *layer_edge_new_input(struct layer_device *device, struct layer_shape shape);
void layer_edge_free(struct layer_edge *edge);
void layer_edge_set_value(struct layer_edge *edge, const float *value);

// Bytes that the gradient on this edge needs, in the layout the layers chose; and where it lives. Not owned by the edge.
size_t layer_edge_bytes(const struct layer_edge *edge);
void layer_edge_set_gradient(struct layer_edge *edge, float *gradient);

// Between the edge's own layout and plain NCHW, PLAIN[layer_shape_count()]: the value out, the gradient in and out.
void layer_edge_read_value(struct layer_edge *edge, float *plain);
void layer_edge_write_gradient(struct layer_edge *edge, const float *plain);
void layer_edge_read_gradient(struct layer_edge *edge, float *plain);

// A layer that reads edge IN and makes *OUT (the caller's, to be freed after the layer). PARAMS and GRADS are the layer's part of the
// network's flat blocks, in PyTorch's order; they are not owned and must outlive the layer. NULL for layers without.
struct layer *layer_new(struct layer_device *device, const struct layer_spec *spec, struct layer_edge *in, const float *params,
        float *grads, struct layer_edge **out);
void layer_free(struct layer *layer);

// True when the gradient of the input may lie where the gradient of the output lay.
int layer_backward_in_place(const struct layer *layer);

// The parameters were written: the layer's own copy in oneDNN's layout is made anew before its next use.
void layer_params_changed(struct layer *layer);

// From the value on IN to the value on OUT. Batch norm always uses the batch's own mean and variance (training).
void layer_forward(struct layer *layer);

// From the gradient on OUT (after a forward) to the gradient on IN (LAYER_INPUT) and to GRADS, which it adds to (LAYER_WEIGHTS).
void layer_backward(struct layer *layer, int what);
