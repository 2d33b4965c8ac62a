#include "common/edge.h"

#include "common/mem.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BN_EPSILON 1e-5 // PyTorch's

// ---- the device

struct layer_device *layer_device_new(void)
{
	struct layer_device *d = mem_new(1, sizeof *d);
	op_device_init(&d->op);
	d->kernels = kernels_pick();
	return d;
}

void layer_device_free(struct layer_device *d)
{
	if (!d)
		return;
	op_device_fini(&d->op);
	mem_unmap(d->memory, d->mapped);
	free(d);
}

static size_t region_floats(size_t need)
{
	return (need + 1023) / 1024 * 1024;
}

void layer_need(struct layer_device *d, enum layer_region r, size_t floats)
{
	d->need[r] = floats > d->need[r] ? floats : d->need[r];
}

float *layer_region(struct layer_device *d, enum layer_region r)
{
	size_t at = 0, total = 0;
	for (int i = 0; i < REGIONS; i++) {
		at += i < (int)r ? region_floats(d->need[i]) : 0;
		total += region_floats(d->need[i]);
	}
	if (total != d->mapped) {
		mem_unmap(d->memory, d->mapped);
		d->memory = mem_map(total);
		d->mapped = total;
	}
	return d->memory + at;
}

// ---- edges

static size_t pixels(const struct layer_edge *e) // of an image
{
	return (size_t)e->shape.h * e->shape.w;
}

static size_t image(const struct layer_edge *e) // floats
{
	return pixels(e) * e->ld;
}

static void vectors_init(struct layer_edge *e)
{
	size_t ld = (size_t)e->ld;
	float *all = mem_floats(5 * ld);
	e->scale = all;
	e->shift = all + ld;
	e->by_gradient = all + 2 * ld;
	e->by_value = all + 3 * ld;
	e->constant = all + 4 * ld;
	for (int c = 0; c < e->shape.c; c++)
		e->scale[c] = e->by_gradient[c] = 1;
	e->mean = mem_new(ld, sizeof *e->mean);
	e->inverse = mem_new(ld, sizeof *e->inverse);
	e->sums = mem_floats((size_t)e->shape.n * 2 * ld);
}

struct layer_edge *edge_new(struct layer_device *d, struct layer_shape shape, const struct layer_spec *spec)
{
	struct layer_edge *e = mem_new(1, sizeof *e);
	*e = (struct layer_edge){.device = d,
		.shape = shape,
		.ld = shape.c < KERNELS_ALIGN ? shape.c : (shape.c + KERNELS_ALIGN - 1) / KERNELS_ALIGN * KERNELS_ALIGN,
		.norm = spec->norm,
		.activation = spec->activation,
		.slope = spec->activation == LAYER_RELU ? spec->slope : 1};
	e->value = mem_map((size_t)shape.n * image(e));
	vectors_init(e);
	return e;
}

struct layer_edge *layer_edge_new_input(struct layer_device *d, struct layer_shape shape)
{
	struct layer_edge *e = mem_new(1, sizeof *e);
	*e = (struct layer_edge){.device = d, .shape = shape, .ld = shape.c, .is_input = true, .slope = 1};
	vectors_init(e);
	return e;
}

void layer_edge_free(struct layer_edge *e)
{
	if (!e)
		return;
	if (!e->is_input)
		mem_unmap(e->value, (size_t)e->shape.n * image(e));
	free(e->scale);
	free(e->mean);
	free(e->inverse);
	free(e->sums);
	free(e->output);
	free(e);
}

void layer_edge_set_value(struct layer_edge *e, const float *value)
{
	assert(e->is_input);
	e->value = (float *)value; // only ever read
}

void layer_edge_place_gradient(struct layer_edge *e, int place)
{
	e->gradient = place ? REGION_GRADIENT_1 : REGION_GRADIENT_0;
	layer_need(e->device, e->gradient, (size_t)e->shape.n * image(e));
}

// ---- the value

void edge_finish_value(void *arg, int chunk, int first, int count)
{
	struct layer_edge *e = arg;
	if (!e->norm)
		return;
	float *sums = e->sums + (size_t)chunk * 2 * e->ld;
	memset(sums, 0, 2 * (size_t)e->ld * sizeof *sums);
	e->device->kernels->sum(e->value + first * image(e), count * pixels(e), e->ld, sums, sums + e->ld);
}

static double total(const struct layer_edge *e, int chunks, int row, int c)
{
	double sum = 0;
	for (int i = 0; i < chunks; i++)
		sum += e->sums[((size_t)i * 2 + row) * e->ld + c];
	return sum;
}

void edge_value_done(struct layer_edge *e, int n, int chunks)
{
	double count = (double)n * (double)pixels(e);
	if (!e->norm)
		return;
	for (int c = 0; c < e->shape.c; c++) {
		double mean = total(e, chunks, 0, c) / count, variance = total(e, chunks, 1, c) / count - mean * mean;
		double inverse = 1 / sqrt(fmax(variance, 0) + BN_EPSILON);
		e->mean[c] = mean;
		e->inverse[c] = inverse;
		e->scale[c] = (float)(e->gamma[c] * inverse);
		e->shift[c] = (float)(e->beta[c] - e->gamma[c] * inverse * mean);
	}
}

struct kernels_source edge_value(const struct layer_edge *e)
{
	bool as_it_is = !e->norm && e->activation != LAYER_RELU;
	return (struct kernels_source){.kind = as_it_is ? SOURCE_PLAIN : SOURCE_ACTIVATION,
		.d = e->value,
		.a = e->scale,
		.b = e->shift,
		.slope = e->slope};
}

// ---- its gradient

void edge_finish_gradient(void *arg, int chunk, int first, int count)
{
	struct layer_edge *e = arg;
	if (!e->norm && e->activation != LAYER_RELU)
		return;
	float *gradient = layer_region(e->device, e->gradient) + first * image(e);
	float *sums = e->sums + (size_t)chunk * 2 * e->ld;
	memset(sums, 0, 2 * (size_t)e->ld * sizeof *sums);
	e->device->kernels->slope(gradient, e->value + first * image(e), count * pixels(e), e->ld, e->scale, e->shift,
		e->slope, sums, sums + e->ld);
}

// With x = (value - mean) * inverse and g the gradient after batch norm, the gradient of the value is
// gamma * inverse * (g - mean of g - x * mean of g x).
void edge_gradient_done(struct layer_edge *e, int n, int chunks, int what)
{
	double count = (double)n * (double)pixels(e);
	if (!e->norm)
		return;
	for (int c = 0; c < e->shape.c; c++) {
		double sum = total(e, chunks, 0, c),
		       with_x = (total(e, chunks, 1, c) - e->mean[c] * sum) * e->inverse[c];
		double factor = e->gamma[c] * e->inverse[c];
		e->by_gradient[c] = (float)factor;
		e->by_value[c] = (float)(-factor * e->inverse[c] * with_x / count);
		e->constant[c] = (float)(factor * (e->mean[c] * e->inverse[c] * with_x - sum) / count);
		if (what & LAYER_WEIGHTS) {
			e->gamma_grad[c] += (float)with_x;
			e->beta_grad[c] += (float)sum;
		}
	}
}

struct kernels_source edge_gradient(const struct layer_edge *e)
{
	return (struct kernels_source){.kind = e->norm ? SOURCE_GRADIENT : SOURCE_PLAIN,
		.d = layer_region(e->device, e->gradient),
		.raw = e->value,
		.a = e->by_gradient,
		.b = e->by_value,
		.c = e->constant};
}

// ---- the ends of a network

const float *layer_edge_output(struct layer_edge *e, int n)
{
	size_t all = (size_t)n * pixels(e);
	struct kernels_source source = edge_value(e);
	if (e->activation == LAYER_TANH)
		op_tanh(&e->device->op, e->value, all * e->ld);
	if (source.kind == SOURCE_PLAIN && e->ld == e->shape.c)
		return e->value;
	if (!e->output)
		e->output = mem_floats((size_t)e->shape.n * image(e));
	e->device->kernels->read(&source, 0, all, e->ld, e->output);
	for (size_t i = 0; i < all; i++)
		memmove(e->output + i * e->shape.c, e->output + i * e->ld, (size_t)e->shape.c * sizeof(float));
	return e->output;
}

void layer_edge_set_output_gradient(struct layer_edge *e, int n, const float *from, int what)
{
	float *to = layer_region(e->device, e->gradient);
	size_t all = (size_t)n * pixels(e);
	int c = e->shape.c;
	if (e->activation == LAYER_TANH) {
		assert(!e->norm && e->ld == c);
#pragma omp parallel for simd
		for (size_t i = 0; i < all * c; i++)
			to[i] = from[i] * (1 - e->value[i] * e->value[i]);
		return;
	}
	for (size_t i = 0; i < all; i++) {
		memmove(to + i * e->ld, from + i * c, (size_t)c * sizeof *to);
		memset(to + i * e->ld + c, 0, (size_t)(e->ld - c) * sizeof *to);
	}
	for (int i = 0; i < n; i++)
		edge_finish_gradient(e, i, i, 1);
	edge_gradient_done(e, n, n, what);
}

const float *layer_edge_input_gradient(const struct layer_edge *e)
{
	assert(e->is_input);
	return layer_region(e->device, e->gradient);
}
