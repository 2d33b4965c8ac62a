// The arithmetic of a training step, written for vectors and compiled for several kinds of processor; the best one is
// chosen at run time. Not a linear algebra library: two operations, with the shapes that mnist needs.
#ifndef MNIST_KERNEL_H
#define MNIST_KERNEL_H
#include <stddef.h>

#define KERNEL_MIN_WIDTH 16 // floats in a row, at the least

// out[i][c] = sum over j of a[i * a_row + j * a_term] * m[j][c], for i < rows, j < terms, c < width. The rows of M lie
// anywhere, those of OUT one after the other, WIDTH floats each. OUT overlaps nothing.
struct kernel_product {
	float *out;
	size_t rows, terms, width;
	const float *a;
	size_t a_row, a_term;
	const float *const *m;
};

// One step of Adam (Kingma and Ba 2015, as PyTorch computes it) from one set of parameters and moments into another,
// ROWS rows of WIDTH floats one after the other; the gradient's rows lie anywhere. COPY gets the new parameters too,
// AHEAD more such steps further.
struct kernel_adam {
	const float *params, *m, *v;
	float *new_params, *new_m, *new_v, *copy;
	const float *const *grad;
	size_t rows, width;
	float beta1, beta2, epsilon;
	float rate;   // divided by (1 - beta1^t)
	float scale;  // 1 / sqrt(1 - beta2^t)
	float weight; // of the gradient in the first moment
	float ahead;
};

struct kernel {
	const char *name;
	void (*product)(const struct kernel_product *);
	// Returns whether all gradients were numbers whose square is finite. If not, what was written means nothing.
	int (*adam)(const struct kernel_adam *);
};

// The best for this processor; the one numbered N of those it can run, the slowest first, or NULL.
const struct kernel *kernel_best(void);
const struct kernel *kernel_find(int n);

// Fills in RATE, SCALE and the constants for step T (from 1) with learning rate RATE; weight 1, nothing ahead.
void kernel_adam_set(struct kernel_adam *a, double rate, double t);

#endif
