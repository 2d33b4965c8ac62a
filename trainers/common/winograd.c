#include "common/winograd.h"

#include "common/op.h"

#include <omp.h>
#include <string.h>

#define PRODUCTS 25
#define PHASES 4

// Matrices whose rows lie a power of two apart would all fall into the same few lines of a cache.
#define SPREAD 16

// Tiles that are transformed at a time: few enough that they stay in the cache until they are multiplied, enough that
// the weights, which are read anew for each chunk, are worth it.
#define CHUNK_TILES 64
#define CHUNK_TILES_WIDE 128      // where one product's weights are
#define WIDE_WEIGHTS (512 * 1024) // floats or more

// One thread's scratch memory: tiles of both sides transformed, and an image of either side with what is around it.
struct workspace {
	float *fine, *coarse, *fine_image, *coarse_image;
};

static int tiles_across(const struct winograd *w)
{
	return w->coarse_edge / WINOGRAD_TILE;
}

static int tiles_per_image(const struct winograd *w)
{
	return tiles_across(w) * tiles_across(w);
}

static int fine_row(const struct winograd *w) // floats of a transformed tile and product: the four phases
{
	return PHASES * w->fine_ld + SPREAD;
}

static int coarse_row(const struct winograd *w)
{
	return w->coarse_ld + SPREAD;
}

static size_t product_weights(const struct winograd *w)
{
	return (size_t)PHASES * w->fine_ld * w->coarse_ld;
}

static int padded_edge(const struct winograd *w)
{
	return 2 * w->coarse_edge + 2;
}

static size_t padded_image(const struct winograd *w)
{
	return (size_t)padded_edge(w) * padded_edge(w) * w->fine_ld;
}

static size_t coarse_image(const struct winograd *w)
{
	return (size_t)w->coarse_edge * w->coarse_edge * w->coarse_ld;
}

static size_t fine_image(const struct winograd *w)
{
	return (size_t)4 * w->coarse_edge * w->coarse_edge * w->fine_ld;
}

bool winograd_fits(int coarse_edge, int fine_ld, int coarse_ld)
{
	return coarse_edge % WINOGRAD_TILE == 0 && fine_ld % KERNELS_ALIGN == 0 && coarse_ld % KERNELS_ALIGN == 0;
}

void winograd_init(struct winograd *w, int n, int coarse_edge, int fine, int coarse, int fine_ld, int coarse_ld)
{
	*w = (struct winograd){.kernels = kernels_pick(),
		.n = n,
		.coarse_edge = coarse_edge,
		.fine = fine,
		.coarse = coarse,
		.fine_ld = fine_ld,
		.coarse_ld = coarse_ld};
}

size_t winograd_weights_count(const struct winograd *w)
{
	return PRODUCTS * product_weights(w);
}

int winograd_chunk(const struct winograd *w)
{
	int tiles = product_weights(w) >= WIDE_WEIGHTS ? CHUNK_TILES_WIDE : CHUNK_TILES;
	int images = tiles / tiles_per_image(w);
	return images < 1 ? 1 : images > w->n ? w->n : images;
}

// ---- scratch memory: tiles of a chunk for each thread, which one after the other are also those of the gradient's
// larger chunk

static size_t tile_step(int tiles, int row)
{
	return (size_t)tiles * row + SPREAD;
}

static size_t thread_floats(const struct winograd *w)
{
	int tiles = winograd_chunk(w) * tiles_per_image(w);
	return PRODUCTS * (tile_step(tiles, fine_row(w)) + tile_step(tiles, coarse_row(w))) + padded_image(w) +
	       coarse_image(w);
}

static int gradient_chunk(const struct winograd *w)
{
	int images = CHUNK_TILES_WIDE / tiles_per_image(w);
	return images < 1 ? 1 : images > w->n ? w->n : images;
}

static size_t gradient_floats(const struct winograd *w, int threads)
{
	int tiles = gradient_chunk(w) * tiles_per_image(w);
	return PRODUCTS * (tile_step(tiles, fine_row(w)) + tile_step(tiles, coarse_row(w))) +
	       threads * (padded_image(w) + coarse_image(w));
}

size_t winograd_scratch_count(const struct winograd *w, int threads)
{
	size_t passes = threads * thread_floats(w), gradient = gradient_floats(w, threads);
	return passes > gradient ? passes : gradient;
}

static struct workspace workspace(const struct winograd *w, float *scratch)
{
	int tiles = winograd_chunk(w) * tiles_per_image(w);
	struct workspace s = {.fine = scratch + omp_get_thread_num() * thread_floats(w)};
	s.coarse = s.fine + PRODUCTS * tile_step(tiles, fine_row(w));
	s.fine_image = s.coarse + PRODUCTS * tile_step(tiles, coarse_row(w));
	s.coarse_image = s.fine_image + padded_image(w);
	return s;
}

static struct workspace gradient_workspace(const struct winograd *w, float *scratch)
{
	int tiles = gradient_chunk(w) * tiles_per_image(w);
	struct workspace s = {.fine = scratch};
	s.coarse = s.fine + PRODUCTS * tile_step(tiles, fine_row(w));
	s.fine_image = s.coarse + PRODUCTS * tile_step(tiles, coarse_row(w)) +
		       omp_get_thread_num() * (padded_image(w) + coarse_image(w));
	s.coarse_image = s.fine_image + padded_image(w);
	return s;
}

// ---- one image between its side's layout and tiles. The padded image's border is zero, and stays so.

static void clear_border(const struct winograd *w, float *image)
{
	int edge = padded_edge(w), ld = w->fine_ld;
	size_t row = (size_t)edge * ld;
	memset(image, 0, row * sizeof *image);
	memset(image + (size_t)(edge - 1) * row, 0, row * sizeof *image);
	for (int y = 1; y < edge - 1; y++) {
		memset(image + (size_t)y * row, 0, (size_t)ld * sizeof *image);
		memset(image + (size_t)(y + 1) * row - ld, 0, (size_t)ld * sizeof *image);
	}
}

static float *padded_tile(const struct winograd *w, float *image, int tile)
{
	int y = tile / tiles_across(w) * 2 * WINOGRAD_TILE, x = tile % tiles_across(w) * 2 * WINOGRAD_TILE;
	return image + ((size_t)y * padded_edge(w) + x) * w->fine_ld;
}

static float *coarse_tile(const struct winograd *w, float *image, int tile)
{
	int y = tile / tiles_across(w) * WINOGRAD_TILE, x = tile % tiles_across(w) * WINOGRAD_TILE;
	return image + ((size_t)y * w->coarse_edge + x) * w->coarse_ld;
}

static void gather_fine(
	const struct winograd *w, const struct kernels_source *from, int image, float *padded, float *to, size_t step)
{
	size_t edge = 2 * w->coarse_edge, ld = w->fine_ld, row = (edge + 2) * ld;
	for (size_t y = 0; y < edge; y++)
		w->kernels->read(
			from, ((size_t)image * edge + y) * edge, edge, w->fine_ld, padded + (y + 1) * row + ld);
	for (int t = 0; t < tiles_per_image(w); t++)
		w->kernels->fine_gather(padded_tile(w, padded, t), row, w->fine_ld,
			(struct kernels_tile){to + (size_t)t * fine_row(w), step});
}

static void scatter_fine(const struct winograd *w, float *from, size_t step, float *padded, float *to)
{
	size_t edge = 2 * w->coarse_edge, ld = w->fine_ld, row = (edge + 2) * ld;
	memset(padded, 0, padded_image(w) * sizeof *padded);
	for (int t = 0; t < tiles_per_image(w); t++)
		w->kernels->fine_scatter(padded_tile(w, padded, t), row, w->fine_ld,
			(struct kernels_tile){from + (size_t)t * fine_row(w), step});
	for (size_t y = 0; y < edge; y++)
		memcpy(to + y * edge * ld, padded + (y + 1) * row + ld, edge * ld * sizeof *to);
}

static void gather_coarse(
	const struct winograd *w, const struct kernels_source *from, int image, float *copy, float *to, size_t step)
{
	size_t pixels = (size_t)w->coarse_edge * w->coarse_edge, row = (size_t)w->coarse_edge * w->coarse_ld;
	w->kernels->read(from, image * pixels, pixels, w->coarse_ld, copy);
	for (int t = 0; t < tiles_per_image(w); t++)
		w->kernels->coarse_gather(coarse_tile(w, copy, t), row, w->coarse_ld,
			(struct kernels_tile){to + (size_t)t * coarse_row(w), step});
}

static void scatter_coarse(const struct winograd *w, float *from, size_t step, float *to)
{
	size_t row = (size_t)w->coarse_edge * w->coarse_ld;
	for (int t = 0; t < tiles_per_image(w); t++)
		w->kernels->coarse_scatter(coarse_tile(w, to, t), row, w->coarse_ld,
			(struct kernels_tile){from + (size_t)t * coarse_row(w), step});
}

// ---- weights

void winograd_weights(struct winograd *w, const float *plain)
{
#pragma omp parallel for
	for (int c = 0; c < w->fine; c++)
		w->kernels->weights(plain + c * 16, w->fine, w->coarse, w->weights + (size_t)c * w->coarse_ld,
			(size_t)w->fine_ld * w->coarse_ld, product_weights(w));
}

void winograd_read_gradient(struct winograd *w, float *plain)
{
	if (!w->accumulated)
		return;
	w->accumulated = false;
#pragma omp parallel for
	for (int c = 0; c < w->fine; c++)
		w->kernels->weights_gradient(plain + c * 16, w->fine, w->coarse, w->gradient + (size_t)c * w->coarse_ld,
			(size_t)w->fine_ld * w->coarse_ld, product_weights(w));
}

// ---- the three computations. A chunk of images belongs to one thread from its reading to its finish.

void winograd_to_coarse(struct winograd *w, int n, const struct kernels_source *fine, float *coarse, float *scratch,
	struct winograd_finish finish)
{
	const int chunk = winograd_chunk(w), per_image = tiles_per_image(w), fr = fine_row(w), cr = coarse_row(w);
	const size_t fine_step = tile_step(chunk * per_image, fr), coarse_step = tile_step(chunk * per_image, cr);
#pragma omp parallel
	{
		struct workspace s = workspace(w, scratch);
		clear_border(w, s.fine_image);
#pragma omp for schedule(dynamic)
		for (int first = 0; first < n; first += chunk) {
			int count = n - first < chunk ? n - first : chunk;
			for (int i = 0; i < count; i++)
				gather_fine(w, fine, first + i, s.fine_image, s.fine + (size_t)i * per_image * fr,
					fine_step);
			for (int p = 0; p < PRODUCTS; p++)
				op_sgemm('N', 'N', count * per_image, w->coarse_ld, PHASES * w->fine_ld,
					s.fine + p * fine_step, fr, w->weights + p * product_weights(w), w->coarse_ld,
					0, s.coarse + p * coarse_step, cr);
			for (int i = 0; i < count; i++)
				scatter_coarse(w, s.coarse + (size_t)i * per_image * cr, coarse_step,
					coarse + (first + i) * coarse_image(w));
			finish.call(finish.arg, first / chunk, first, count);
		}
	}
}

void winograd_to_fine(struct winograd *w, int n, const struct kernels_source *coarse, float *fine, float *scratch,
	struct winograd_finish finish)
{
	const int chunk = winograd_chunk(w), per_image = tiles_per_image(w), fr = fine_row(w), cr = coarse_row(w);
	const size_t fine_step = tile_step(chunk * per_image, fr), coarse_step = tile_step(chunk * per_image, cr);
#pragma omp parallel
	{
		struct workspace s = workspace(w, scratch);
#pragma omp for schedule(dynamic)
		for (int first = 0; first < n; first += chunk) {
			int count = n - first < chunk ? n - first : chunk;
			for (int i = 0; i < count; i++)
				gather_coarse(w, coarse, first + i, s.coarse_image,
					s.coarse + (size_t)i * per_image * cr, coarse_step);
			for (int p = 0; p < PRODUCTS; p++)
				op_sgemm('N', 'T', count * per_image, PHASES * w->fine_ld, w->coarse_ld,
					s.coarse + p * coarse_step, cr, w->weights + p * product_weights(w),
					w->coarse_ld, 0, s.fine + p * fine_step, fr);
			for (int i = 0; i < count; i++)
				scatter_fine(w, s.fine + (size_t)i * per_image * fr, fine_step, s.fine_image,
					fine + (first + i) * fine_image(w));
			finish.call(finish.arg, first / chunk, first, count);
		}
	}
}

// Here the threads share a chunk, each its images and then its part of the products: no thread needs a gradient of its
// own, and the sums are the same whatever their number.
void winograd_accumulate(struct winograd *w, int n, const struct kernels_source *fine,
	const struct kernels_source *coarse, float *scratch)
{
	const int chunk = gradient_chunk(w), per_image = tiles_per_image(w), fr = fine_row(w), cr = coarse_row(w);
	const size_t fine_step = tile_step(chunk * per_image, fr), coarse_step = tile_step(chunk * per_image, cr);
#pragma omp parallel
	{
		struct workspace s = gradient_workspace(w, scratch);
		clear_border(w, s.fine_image);
		for (int first = 0; first < n; first += chunk) {
			int count = n - first < chunk ? n - first : chunk;
#pragma omp for
			for (int i = 0; i < count; i++) {
				gather_fine(w, fine, first + i, s.fine_image, s.fine + (size_t)i * per_image * fr,
					fine_step);
				gather_coarse(w, coarse, first + i, s.coarse_image,
					s.coarse + (size_t)i * per_image * cr, coarse_step);
			}
#pragma omp for schedule(dynamic)
			for (int part = 0; part < PRODUCTS * 2; part++) {
				int p = part / 2, rows = PHASES / 2 * w->fine_ld, at = part % 2 * rows;
				op_sgemm('T', 'N', rows, w->coarse_ld, count * per_image, s.fine + p * fine_step + at,
					fr, s.coarse + p * coarse_step, cr, w->accumulated || first ? 1 : 0,
					w->gradient + p * product_weights(w) + (size_t)at * w->coarse_ld, w->coarse_ld);
			}
		}
	}
	w->accumulated = true;
}
