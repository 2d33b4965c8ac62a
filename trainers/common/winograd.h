// 4 x 4 convolutions of stride 2 with a border of 1, and the transposed ones, with 25 products where 64 are usual.
// Not the other shapes (direct.h), nor batch norm and activation: values are read and finished by what the caller hands
// in.
//
// Between a finer side of 2N x 2N pixels with C channels and a coarser side of N x N with K channels, N a multiple of
// 4, there are three computations: fine to coarse (a convolution forward, a transposed one back), coarse to fine (the
// other way round), and the gradient of the weights from both sides. Two known steps make them cheap:
//
// 1. Output pixel o needs input pixels 2o-1 .. 2o+2. Split the input by odd and even rows and columns into four phases:
// pixel 2i+p-1 is pixel
//    i of phase p, tap 2e+p is tap e, and out[o] = sum over p, e of w[2e+p] * phase_p[o+e]. So it is one 2 x 2
//    convolution of stride 1 with
//    4 C channels.
//
// 2. Winograd's minimal filtering F(4, 2) (S. Winograd, Arithmetic Complexity of Computations, 1980; for two dimensions
// and many channels
//    A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, 2016): 4 outputs of a filter of 2 taps
//    from 5 products. It is
//    Toom and Cook's multiplication transposed. A polynomial of 2 coefficients (w) times one of 4 has degree 4; it is
//    known by its values at
//    5 points, here a = 0, 1, -1, 2 and infinity (the leading coefficient), and each value is one product. Lagrange's
//    interpolation gets the
//    coefficients back: with M(x) = x (x-1) (x+1) (x-2) and M_i(x) = M(x) / (x - a_i), from M_i(x) / M_i(a_i), and from
//    M for infinity. The
//    transposed algorithm computes out = A^T ((G w) . (B^T d)), with the denominators M_i(a_i) = 2, -2, -6, 6 put to
//    the weights:
//
//            1  1  1  1  0             2 -1 -2  1  0   M_0             1/2    0
//            0  1 -1  2  0             0 -2 -1  1  0   M_1            -1/2 -1/2
//      A^T = 0  1  1  4  0       B^T = 0  2 -3  1  0   M_-1       G = -1/6  1/6
//            0  1 -1  8  1             0 -1  0  1  0   M_2             1/6  1/3
//            (powers of a)             0  2 -1 -2  1   M                 0    1
//
//    In two dimensions it is applied to columns, then rows: 25 products for 16 outputs, where 64 are usual. Each of the
//    25 is, over all tiles
//    and channels, a matrix product. The other two computations are the exact transposes: B and A change places with
//    their transposes.
//
// The price is rounding: A and B have entries up to 8, so errors against exact arithmetic are some 1e-6 of the values'
// size.
#ifndef COMMON_WINOGRAD_H
#define COMMON_WINOGRAD_H
#include "common/kernels.h"

#include <stdbool.h>

#define WINOGRAD_TILE 4 // pixels of the coarser side along a tile's edge

struct winograd {
	const struct kernels *kernels;
	int n;            // images at most
	int coarse_edge;  // pixels
	int fine, coarse; // channels
	int fine_ld, coarse_ld;
	float *weights;   // the transformed weights, winograd_weights_count() floats
	float *gradient;  // as many: the weights' gradient before it is transformed back
	bool accumulated; // GRADIENT holds something
};

// What to do with pixels of image FIRST to FIRST + COUNT when they are written and still in the cache. CHUNK counts
// from 0.
struct winograd_finish {
	void (*call)(void *arg, int chunk, int first, int count);
	void *arg;
};

// True when a convolution with such edges can be computed here: EDGE pixels of the coarser side, LD floats to a pixel.
bool winograd_fits(int coarse_edge, int fine_ld, int coarse_ld);

// Where the weights and their gradient are is set by the caller.
void winograd_init(struct winograd *w, int n, int coarse_edge, int fine, int coarse, int fine_ld, int coarse_ld);
size_t winograd_weights_count(const struct winograd *w);

// Floats of scratch memory that any of the calls below needs with so many threads; the same memory serves all layers in
// turn.
size_t winograd_scratch_count(const struct winograd *w, int threads);

// Images that are one chunk: what FINISH is called with.
int winograd_chunk(const struct winograd *w);

// From PyTorch's order, [coarse][fine][4][4] for a convolution and a transposed one alike.
void winograd_weights(struct winograd *w, const float *plain);

// N images of the one side to the other.
void winograd_to_coarse(struct winograd *w, int n, const struct kernels_source *fine, float *coarse, float *scratch,
	struct winograd_finish finish);
void winograd_to_fine(struct winograd *w, int n, const struct kernels_source *coarse, float *fine, float *scratch,
	struct winograd_finish finish);

// Adds up the weights' gradient, transformed as it is; read adds it to PLAIN in PyTorch's order and forgets it.
void winograd_accumulate(struct winograd *w, int n, const struct kernels_source *fine,
	const struct kernels_source *coarse, float *scratch);
void winograd_read_gradient(struct winograd *w, float *plain);

#endif
