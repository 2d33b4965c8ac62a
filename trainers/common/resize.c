#include "common/resize.h"

#include "common/die.h"
#include "common/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// PIL works in fixed point: 8 bits of sample and two for overshoot leave 22 for the weights' fraction. A plainer float
// version would be off by one in one sample of some hundred, and a comparison with the reference would have to be
// loose.
#define FRACTION 22

// One direction: which samples, with which weights, make each of SIZE results.
struct axis {
	int taps; // weights kept for each result
	int *first, *count;
	int32_t *weight;
};

struct resize {
	int height, width, size;
	struct axis x, y;
	uint8_t *between; // after the first pass: height rows of size samples
	int32_t *sums;    // of one row of results
};

// Results OFFSET to OFFSET + SIZE of a line of FROM samples scaled to TO.
static void axis_init(struct axis *a, int from, int to, int offset, int size)
{
	double scale = (double)from / to;
	double wide = scale > 1 ? scale : 1; // half the triangle's base, in samples
	a->taps = (int)ceil(wide) * 2 + 1;
	a->first = mem_new((size_t)size, sizeof *a->first);
	a->count = mem_new((size_t)size, sizeof *a->count);
	a->weight = mem_new((size_t)size * (size_t)a->taps, sizeof *a->weight);
	double *w = mem_new((size_t)a->taps, sizeof *w);
	for (int i = 0; i < size; i++) {
		double center = (offset + i + 0.5) * scale, sum = 0;
		int low = (int)(center - wide + 0.5), high = (int)(center + wide + 0.5);
		low = low < 0 ? 0 : low;
		high = high > from ? from : high;
		for (int k = low; k < high; k++) {
			w[k - low] = fmax(0, 1 - fabs((k - center + 0.5) * (1 / wide)));
			sum += w[k - low];
		}
		a->first[i] = low;
		a->count[i] = high - low;
		for (int k = 0; k < high - low; k++)
			a->weight[i * a->taps + k] = (int32_t)(w[k] / sum * (1 << FRACTION) + 0.5);
	}
	free(w);
}

static void axis_fini(struct axis *a)
{
	free(a->first);
	free(a->count);
	free(a->weight);
}

struct resize *resize_new(int height, int width, int size)
{
	struct resize *r = mem_new(1, sizeof *r);
	*r = (struct resize){.height = height, .width = width, .size = size};
	double ratio = height < width ? (double)width / height : (double)height / width;
	if (ratio * size > 1 << 30)
		die("an image of %d x %d is too long and thin to resize to %d", width, height, size);
	int longer = (int)((double)size * (height < width ? width : height) / (height < width ? height : width));
	int to_w = width > height ? longer : size, to_h = width > height ? size : longer;
	axis_init(&r->x, width, to_w, (int)nearbyint((to_w - size) / 2.0), size); // half to even, as Python rounds
	axis_init(&r->y, height, to_h, (int)nearbyint((to_h - size) / 2.0), size);
	r->between = mem_new((size_t)height, (size_t)size);
	r->sums = mem_new((size_t)size, sizeof *r->sums);
	return r;
}

void resize_free(struct resize *r)
{
	if (!r)
		return;
	axis_fini(&r->x);
	axis_fini(&r->y);
	free(r->between);
	free(r->sums);
	free(r);
}

static uint8_t rounded(int32_t sum)
{
	sum >>= FRACTION;
	return sum < 0 ? 0 : sum > 255 ? 255 : (uint8_t)sum;
}

static void along_x(const struct resize *r, const uint8_t *in)
{
	for (int y = 0; y < r->height; y++)
		for (int i = 0; i < r->size; i++) {
			const uint8_t *p = in + (size_t)y * (size_t)r->width + r->x.first[i];
			const int32_t *w = r->x.weight + (size_t)i * (size_t)r->x.taps;
			int32_t sum = 1 << (FRACTION - 1);
			for (int k = 0; k < r->x.count[i]; k++)
				sum += p[k] * w[k];
			r->between[(size_t)y * (size_t)r->size + (size_t)i] = rounded(sum);
		}
}

// Row by row, because all of a row have the same weights: compilers make vectors of that.
static void along_y(const struct resize *r, uint8_t *out)
{
	const int size = r->size;
	int32_t *restrict sums = r->sums;
	for (int i = 0; i < size; i++, out += size) {
		const int32_t *w = r->y.weight + (size_t)i * (size_t)r->y.taps;
		for (int x = 0; x < size; x++)
			sums[x] = 1 << (FRACTION - 1);
		for (int k = 0; k < r->y.count[i]; k++) {
			const uint8_t *row = r->between + (size_t)(r->y.first[i] + k) * (size_t)size;
			for (int x = 0; x < size; x++)
				sums[x] += row[x] * w[k];
		}
		for (int x = 0; x < size; x++)
			out[x] = rounded(sums[x]);
	}
}

void resize_run(struct resize *r, const uint8_t *in, int planes, uint8_t *out)
{
	size_t from = (size_t)r->height * (size_t)r->width, to = (size_t)r->size * (size_t)r->size;
	for (int p = 0; p < planes; p++, in += from, out += to) {
		if (r->height == r->size && r->width == r->size) {
			memcpy(out, in, to);
			continue;
		}
		along_x(r, in);
		along_y(r, out);
	}
}
