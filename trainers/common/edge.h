// What flows between two layers, as the layers see it from inside; the working memory beside it.
// Not for users of layers (layer.h).
#ifndef COMMON_EDGE_H
#define COMMON_EDGE_H
#include "common/kernels.h"
#include "common/layer.h"
#include "common/op.h"

// Working memory that all layers of all networks use in turn: mapped once, as large as the neediest wants it. The
// networks' gradients (two places, see layer_edge_place_gradient), the weights' gradients as they add up, copies for
// oneDNN, a pass's tiles.
enum layer_region {
	REGION_GRADIENT_0,
	REGION_GRADIENT_1,
	REGION_ACCUMULATED,
	REGION_VALUE,
	REGION_SLOPE,
	REGION_SCRATCH,
	REGIONS
};

struct layer_device {
	struct op_device op;
	const struct kernels *kernels;
	size_t need[REGIONS]; // floats
	float *memory;
	size_t mapped;
};

struct layer_edge {
	struct layer_device *device;
	struct layer_shape shape; // n: at most
	int ld;                   // floats from pixel to pixel
	bool is_input, norm;
	enum layer_activation activation;
	float slope;
	float *value; // raw: before batch norm and activation
	enum layer_region gradient;

	// By channel: an activation's argument is scale * value + shift; the gradient of the raw value is by_gradient *
	// gradient + by_value * value + constant.
	float *scale, *shift, *by_gradient, *by_value, *constant;
	double *mean, *inverse;        // of the standard deviation
	const float *gamma, *beta;     // with norm
	float *gamma_grad, *beta_grad; //
	float *sums;                   // two rows for each chunk of a pass
	float *output;                 // for layer_edge_output
};

// Floats at the start of that region. Valid until the next network is made.
float *layer_region(struct layer_device *d, enum layer_region r);
void layer_need(struct layer_device *d, enum layer_region r, size_t floats);

struct layer_edge *edge_new(struct layer_device *d, struct layer_shape shape, const struct layer_spec *spec);

// Call for the images of each chunk when they are written, then done for all chunks.
void edge_finish_value(void *edge, int chunk, int first, int count);
void edge_value_done(struct layer_edge *e, int n, int chunks);
void edge_finish_gradient(void *edge, int chunk, int first, int count);
void edge_gradient_done(struct layer_edge *e, int n, int chunks, int what);

// How the next layer reads the value, and the one before the gradient.
struct kernels_source edge_value(const struct layer_edge *e);
struct kernels_source edge_gradient(const struct layer_edge *e);

#endif
