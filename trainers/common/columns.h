// Convolutions, and transposed ones, as one matrix product each: for sides so narrow that a vector of channels would be
// mostly empty, and for kernels as large as the image. Not the wide layers (winograd.h) and not every shape (direct.h).
//
// As there, a layer has a finer and a coarser side. A coarse pixel sees a patch of kernel x kernel fine pixels; written
// out, one row for each coarse pixel in the order of PyTorch's weights, [channel][y][x], patches times weights are the
// coarse side; the coarse side times weights are patches that add up to the fine side; and the transposed coarse side
// times patches is the gradient. Weights are used as they are.
#ifndef COMMON_COLUMNS_H
#define COMMON_COLUMNS_H
#include "common/kernels.h"
#include "common/winograd.h"

struct columns {
	const struct kernels *kernels;
	int n; // images at most
	int kernel, stride, pad;
	int fine_edge, coarse_edge, fine, coarse, fine_ld, coarse_ld;
};

// Where that is the quickest way: FINE channels on the finer side, COARSE_EDGE pixels of the coarser.
bool columns_fits(int coarse_edge, int fine);

// Floats of scratch memory that any of the calls below needs with so many threads.
size_t columns_scratch_count(const struct columns *c, int threads);

// As winograd_chunk, winograd_to_coarse and winograd_to_fine.
int columns_chunk(const struct columns *c);
void columns_to_coarse(const struct columns *c, int n, const float *weights, const struct kernels_source *fine,
	float *coarse, float *scratch, struct winograd_finish finish);
void columns_to_fine(const struct columns *c, int n, const float *weights, const struct kernels_source *coarse,
	float *fine, float *scratch, struct winograd_finish finish);

// Adds the weights' gradient to GRADS.
void columns_gradient(const struct columns *c, int n, const struct kernels_source *fine,
	const struct kernels_source *coarse, float *grads, float *scratch);

#endif
