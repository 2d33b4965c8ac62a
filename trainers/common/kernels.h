// The inner loops of the layers, compiled once for each instruction set and picked when the program starts.
// Not oneDNN's kernels (op.h) and not the order they are called in (winograd.h, layer.h): no threads, no memory of
// their own.
#ifndef COMMON_KERNELS_H
#define COMMON_KERNELS_H
#include <stddef.h>

// Channels are kept side by side ("NHWC"), LD floats from pixel to pixel. LD is a multiple of KERNELS_ALIGN wherever
// vectors are used, and the floats between the last channel and LD are zero.
#define KERNELS_ALIGN 16

// A value that is read: D alone; or an activation, v > 0 ? v : SLOPE * v with v = A[c] * D + B[c]; or a gradient that
// passes through batch norm, A[c] * D + B[c] * RAW + C[c].
struct kernels_source {
	enum { SOURCE_PLAIN, SOURCE_ACTIVATION, SOURCE_GRADIENT } kind;
	const float *d, *raw, *a, *b, *c;
	float slope;
};

// Places in one tile's transformed values: COLUMN channels, the next of the 25 products STEP floats on.
struct kernels_tile {
	float *at;
	size_t step;
};

// Adam's constants; RATE and ROOT are already corrected for the bias of the first steps.
struct kernels_adam {
	float b1, c1, b2, c2; // c = 1 - b
	float rate, root, epsilon;
};

struct kernels {
	const char *name;

	// PIXELS pixels of SOURCE from pixel FIRST on, LD floats each, to OUT.
	void (*read)(const struct kernels_source *source, size_t first, size_t pixels, int ld, float *out);

	// Adds to SUM[ld] and SQUARES[ld] what PIXELS pixels of X and of its squares add up to.
	void (*sum)(const float *x, size_t pixels, int ld, float *sum, float *squares);

	// G *= activation'(A * RAW + B); adds to SUM and WITH_RAW what G and G * RAW then add up to.
	void (*slope)(float *g, const float *raw, size_t pixels, int ld, const float *a, const float *b, float slope,
		float *sum, float *with_raw);

	// The transforms of winograd.h on LD channels. Of the finer side, an image's tile begins at X, LD floats from
	// pixel to pixel, ROW floats from row to row; the four phases of a product are LD floats apart. scatter adds to
	// X.
	void (*fine_gather)(const float *x, size_t row, int ld, struct kernels_tile v);
	void (*fine_scatter)(float *x, size_t row, int ld, struct kernels_tile v);
	// Of the coarser side: 4 x 4 pixels.
	void (*coarse_gather)(const float *y, size_t row, int ld, struct kernels_tile q);
	void (*coarse_scatter)(float *y, size_t row, int ld, struct kernels_tile q);

	// Weights of one fine channel, PyTorch's W[coarse][fine][4][4], to U[25][4][fine][coarse] and the gradient back
	// (which adds to W). W is that channel's first kernel, FINE the number of channels; U is phase 0 of product 0,
	// PHASE and STEP floats apart.
	void (*weights)(const float *w, int fine, int coarse, float *u, size_t phase, size_t step);
	void (*weights_gradient)(float *w, int fine, int coarse, const float *u, size_t phase, size_t step);

	// One step of Adam.
	void (*adam)(float *x, const float *g, float *m, float *v, size_t count, const struct kernels_adam *k);
};

// The best for this processor.
const struct kernels *kernels_pick(void);

#endif
