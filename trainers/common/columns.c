#include "common/columns.h"

#include "common/op.h"

#include <omp.h>
#include <string.h>

#define CHUNK_PIXELS 32 // of the coarser side: rows of a product, or one image where that is more
#define GROUPS                                                                                                         \
	16       // whose gradients are summed each by itself, whoever does it, and then in order: the same sum for all
		 // threads
#define NARROW 8 // channels

// One thread's scratch memory.
struct workspace {
	float *fine, *coarse, *patches;
};

static size_t fine_image(const struct columns *c)
{
	return (size_t)c->fine_edge * c->fine_edge * c->fine_ld;
}

static size_t coarse_pixels(const struct columns *c)
{
	return (size_t)c->coarse_edge * c->coarse_edge;
}

static int patch(const struct columns *c)
{
	return c->kernel * c->kernel * c->fine;
}

static size_t weights_count(const struct columns *c)
{
	return (size_t)patch(c) * c->coarse;
}

bool columns_fits(int coarse_edge, int fine)
{
	return coarse_edge == 1 || fine <= NARROW;
}

int columns_chunk(const struct columns *c)
{
	int images = CHUNK_PIXELS / (int)coarse_pixels(c);
	return images < 1 ? 1 : images > c->n ? c->n : images;
}

static size_t thread_floats(const struct columns *c)
{
	return columns_chunk(c) * (fine_image(c) + coarse_pixels(c) * (c->coarse_ld + patch(c)));
}

size_t columns_scratch_count(const struct columns *c, int threads)
{
	return threads * thread_floats(c) + GROUPS * weights_count(c);
}

static struct workspace workspace(const struct columns *c, float *scratch)
{
	struct workspace s = {.fine = scratch + GROUPS * weights_count(c) + omp_get_thread_num() * thread_floats(c)};
	s.coarse = s.fine + columns_chunk(c) * fine_image(c);
	s.patches = s.coarse + columns_chunk(c) * coarse_pixels(c) * c->coarse_ld;
	return s;
}

// From a kernel's top left pixel at Y, X, which may lie beyond the edge: the rows or columns that are inside.
static void clip(const struct columns *c, int at, int *from, int *to)
{
	*from = at < 0 ? -at : 0;
	*to = c->fine_edge - at < c->kernel ? c->fine_edge - at : c->kernel;
}

static void gather(const struct columns *c, const float *image, float *patches)
{
	for (int i = 0; i < (int)coarse_pixels(c); i++, patches += patch(c)) {
		int y = i / c->coarse_edge * c->stride - c->pad, x = i % c->coarse_edge * c->stride - c->pad, top,
		    bottom, left, right;
		clip(c, y, &top, &bottom);
		clip(c, x, &left, &right);
		if (bottom - top < c->kernel || right - left < c->kernel)
			memset(patches, 0, patch(c) * sizeof *patches);
		for (int a = top; a < bottom; a++)
			for (int b = left; b < right; b++) {
				const float *pixel = image + ((size_t)(y + a) * c->fine_edge + x + b) * c->fine_ld;
				for (int k = 0; k < c->fine; k++)
					patches[(k * c->kernel + a) * c->kernel + b] = pixel[k];
			}
	}
}

static void scatter(const struct columns *c, const float *patches, float *image)
{
	memset(image, 0, fine_image(c) * sizeof *image);
	for (int i = 0; i < (int)coarse_pixels(c); i++, patches += patch(c)) {
		int y = i / c->coarse_edge * c->stride - c->pad, x = i % c->coarse_edge * c->stride - c->pad, top,
		    bottom, left, right;
		clip(c, y, &top, &bottom);
		clip(c, x, &left, &right);
		for (int a = top; a < bottom; a++)
			for (int b = left; b < right; b++) {
				float *pixel = image + ((size_t)(y + a) * c->fine_edge + x + b) * c->fine_ld;
				for (int k = 0; k < c->fine; k++)
					pixel[k] += patches[(k * c->kernel + a) * c->kernel + b];
			}
	}
}

static void read_fine(
	const struct columns *c, const struct kernels_source *fine, int first, int count, struct workspace *s)
{
	size_t pixels = (size_t)c->fine_edge * c->fine_edge;
	c->kernels->read(fine, first * pixels, count * pixels, c->fine_ld, s->fine);
	for (int i = 0; i < count; i++)
		gather(c, s->fine + i * fine_image(c), s->patches + i * coarse_pixels(c) * patch(c));
}

static void read_coarse(
	const struct columns *c, const struct kernels_source *coarse, int first, int count, struct workspace *s)
{
	c->kernels->read(coarse, first * coarse_pixels(c), count * coarse_pixels(c), c->coarse_ld, s->coarse);
}

void columns_to_coarse(const struct columns *c, int n, const float *weights, const struct kernels_source *fine,
	float *coarse, float *scratch, struct winograd_finish finish)
{
	const int chunk = columns_chunk(c);
#pragma omp parallel
	{
		struct workspace s = workspace(c, scratch);
#pragma omp for schedule(dynamic)
		for (int first = 0; first < n; first += chunk) {
			int count = n - first < chunk ? n - first : chunk;
			read_fine(c, fine, first, count, &s);
			op_sgemm('N', 'T', count * (int)coarse_pixels(c), c->coarse, patch(c), s.patches, patch(c),
				weights, patch(c), 0, coarse + first * coarse_pixels(c) * c->coarse_ld, c->coarse_ld);
			finish.call(finish.arg, first / chunk, first, count);
		}
	}
}

void columns_to_fine(const struct columns *c, int n, const float *weights, const struct kernels_source *coarse,
	float *fine, float *scratch, struct winograd_finish finish)
{
	const int chunk = columns_chunk(c);
#pragma omp parallel
	{
		struct workspace s = workspace(c, scratch);
#pragma omp for schedule(dynamic)
		for (int first = 0; first < n; first += chunk) {
			int count = n - first < chunk ? n - first : chunk;
			read_coarse(c, coarse, first, count, &s);
			op_sgemm('N', 'N', count * (int)coarse_pixels(c), patch(c), c->coarse, s.coarse, c->coarse_ld,
				weights, patch(c), 0, s.patches, patch(c));
			for (int i = 0; i < count; i++)
				scatter(c, s.patches + i * coarse_pixels(c) * patch(c),
					fine + (first + i) * fine_image(c));
			finish.call(finish.arg, first / chunk, first, count);
		}
	}
}

void columns_gradient(const struct columns *c, int n, const struct kernels_source *fine,
	const struct kernels_source *coarse, float *grads, float *scratch)
{
	const int chunk = columns_chunk(c), chunks = (n + chunk - 1) / chunk,
		  groups = chunks < GROUPS ? chunks : GROUPS;
#pragma omp parallel
	{
		struct workspace s = workspace(c, scratch);
#pragma omp for schedule(dynamic)
		for (int g = 0; g < groups; g++)
			for (int first = g * chunk; first < n; first += groups * chunk) {
				int count = n - first < chunk ? n - first : chunk;
				read_fine(c, fine, first, count, &s);
				read_coarse(c, coarse, first, count, &s);
				op_sgemm('T', 'N', c->coarse, patch(c), count * (int)coarse_pixels(c), s.coarse,
					c->coarse_ld, s.patches, patch(c), first == g * chunk ? 0 : 1,
					scratch + g * weights_count(c), patch(c));
			}
#pragma omp for
		for (size_t i = 0; i < weights_count(c); i++)
			for (int g = 0; g < groups; g++)
				grads[i] += scratch[g * weights_count(c) + i];
	}
}
