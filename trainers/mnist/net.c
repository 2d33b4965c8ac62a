#include "mnist/net.h"

#include "common/mem.h"
#include "common/rng.h"
#include "mnist/kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PURPOSE_WEIGHTS 20

struct net {
	const struct kernel *kernel;
	size_t hidden, width, batch;
	uint16_t active[NET_PIXELS +
			1]; // rows with an input that is not zero: pixels in use, then the bias, whose input is 1
	size_t active_count;
	uint16_t before[NET_ROWS + 1]; // how many of the gradient's rows before this one are there
	float *inputs;                 // [active][batch]
	float *h, *dh;                 // [batch][width]
	float *probability;            // [batch][classes]; after net_backward the loss's gradient at the logits
	uint8_t *labels;
	const float **terms; // scratch: rows for one product
};

size_t net_width(size_t hidden)
{
	size_t width = (hidden + 3) / 4 * 4;
	return width < KERNEL_MIN_WIDTH ? KERNEL_MIN_WIDTH : width;
}

void net_randomize(float *out, size_t row, size_t hidden, uint64_t seed)
{
	memset(out, 0, net_width(hidden) * sizeof *out);
	if (row == NET_ROW_HIDDEN_BIAS || row == NET_ROW_CLASS_BIAS)
		return;
	double deviation = row < NET_PIXELS ? 1.0 / 28 : 1 / sqrt((double)hidden);
	struct rng rng;
	rng_init(&rng, seed, PURPOSE_WEIGHTS, row);
	for (size_t i = 0; i < hidden; i++) {
		double x;
		while (fabs(x = rng_normal(&rng)) > 2)
			continue;
		out[i] = (float)(deviation * x);
	}
}

struct net *net_new(size_t hidden, size_t batch)
{
	struct net *net = mem_new(1, sizeof *net);
	net->kernel = kernel_best();
	net->hidden = hidden;
	net->width = net_width(hidden);
	net->batch = batch;
	net->inputs = mem_floats((NET_PIXELS + 1) * batch);
	net->h = mem_floats(batch * net->width);
	net->dh = mem_floats(batch * net->width);
	net->probability = mem_floats(batch * NET_CLASSES);
	net->labels = mem_new(batch, 1);
	net->terms = mem_new(batch > NET_ROWS ? batch : NET_ROWS, sizeof *net->terms);
	return net;
}

void net_free(struct net *net)
{
	if (!net)
		return;
	free(net->inputs);
	free(net->h);
	free(net->dh);
	free(net->probability);
	free(net->labels);
	free(net->terms);
	free(net);
}

static void find_active(struct net *net, const uint8_t *const *images)
{
	uint8_t any[NET_PIXELS] = {0};
	for (size_t b = 0; b < net->batch; b++)
		for (size_t k = 0; k < NET_PIXELS; k++)
			any[k] |= images[b][k];
	size_t n = 0;
	for (size_t k = 0; k < NET_PIXELS; k++) {
		net->before[k] = (uint16_t)n;
		net->active[n] = (uint16_t)k;
		n += any[k] != 0;
	}
	net->active[n] = NET_ROW_HIDDEN_BIAS;
	net->active_count = n + 1;
	for (size_t row = NET_PIXELS; row <= NET_ROWS; row++)
		net->before[row] = (uint16_t)(n + row - NET_PIXELS);
}

void net_load(struct net *net, const uint8_t *const *images, const uint8_t *labels)
{
	find_active(net, images);
	float *out = net->inputs;
	for (size_t n = 0; n + 1 < net->active_count; n++)
		for (size_t b = 0, k = net->active[n]; b < net->batch; b++)
			*out++ = (float)images[b][k] * (1.0f / 255);
	for (size_t b = 0; b < net->batch; b++)
		*out++ = 1;
	memcpy(net->labels, labels, net->batch);
}

// The logits of image B, from its hidden units.
static void logits(const struct net *net, size_t b, const float *const *rows, float out[NET_CLASSES])
{
	const float *h = net->h + b * net->width;
	for (size_t c = 0; c < NET_CLASSES; c++) {
		const float *w = rows[NET_ROW_CLASS + c];
		float sum[4] = {0}; // the width is a multiple of four
		for (size_t i = 0; i < net->width; i += 4)
			for (size_t k = 0; k < 4; k++)
				sum[k] += h[i + k] * w[i + k];
		out[c] = sum[0] + sum[1] + sum[2] + sum[3] + rows[NET_ROW_CLASS_BIAS][c];
	}
}

// Softmax into P; returns the loss, computed from the logits, because the logarithm of a probability that is 0 in float
// is lost.
static double softmax(const float z[NET_CLASSES], size_t label, float p[NET_CLASSES], int *correct)
{
	size_t best = 0;
	for (size_t c = 1; c < NET_CLASSES; c++)
		if (z[c] > z[best])
			best = c;
	float sum = 0;
	for (size_t c = 0; c < NET_CLASSES; c++)
		sum += p[c] = expf(z[c] - z[best]);
	for (size_t c = 0; c < NET_CLASSES; c++)
		p[c] /= sum;
	*correct = best == label;
	return log((double)sum) - ((double)z[label] - (double)z[best]);
}

double net_forward(struct net *net, const float *const *rows, size_t *correct)
{
	for (size_t n = 0; n < net->active_count; n++)
		net->terms[n] = rows[net->active[n]];
	net->kernel->product(&(struct kernel_product){.out = net->h,
		.rows = net->batch,
		.terms = net->active_count,
		.width = net->width,
		.a = net->inputs,
		.a_row = 1,
		.a_term = net->batch,
		.m = net->terms});
	for (size_t i = 0; i < net->batch * net->width; i++)
		net->h[i] = net->h[i] > 0 ? net->h[i] : 0;
	double loss = 0;
	*correct = 0;
	for (size_t b = 0; b < net->batch; b++) {
		float z[NET_CLASSES];
		int right;
		logits(net, b, rows, z);
		loss += softmax(z, net->labels[b], net->probability + b * NET_CLASSES, &right);
		*correct += (size_t)right;
	}
	return loss / (double)net->batch;
}

void net_backward(struct net *net, const float *const *rows)
{
	for (size_t b = 0; b < net->batch; b++) {
		float *p = net->probability + b * NET_CLASSES;
		p[net->labels[b]] -= 1;
		for (size_t c = 0; c < NET_CLASSES; c++)
			p[c] /= (float)net->batch;
	}
	net->kernel->product(&(struct kernel_product){.out = net->dh,
		.rows = net->batch,
		.terms = NET_CLASSES,
		.width = net->width,
		.a = net->probability,
		.a_row = NET_CLASSES,
		.a_term = 1,
		.m = rows + NET_ROW_CLASS});
	for (size_t i = 0; i < net->batch * net->width; i++)
		net->dh[i] = net->h[i] > 0 ? net->dh[i] : 0;
}

int net_has_row(const struct net *net, size_t row)
{
	return net->before[row + 1] > net->before[row];
}

static const float *const *image_rows(struct net *net, const float *of)
{
	for (size_t b = 0; b < net->batch; b++)
		net->terms[b] = of + b * net->width;
	return net->terms;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

void net_gradient(struct net *net, size_t first, size_t last, float *out)
{
	size_t width = net->width, end = smaller(last, NET_ROW_CLASS);
	if (first < end) { // pixels and hidden biases
		size_t from = net->before[first], count = net->before[end] - from;
		net->kernel->product(&(struct kernel_product){.out = out,
			.rows = count,
			.terms = net->batch,
			.width = width,
			.a = net->inputs + from * net->batch,
			.a_row = net->batch,
			.a_term = 1,
			.m = image_rows(net, net->dh)});
		out += count * width;
		first = end;
	}
	end = smaller(last, NET_ROW_CLASS_BIAS);
	if (first < end) {
		net->kernel->product(&(struct kernel_product){.out = out,
			.rows = end - first,
			.terms = net->batch,
			.width = width,
			.a = net->probability + (first - NET_ROW_CLASS),
			.a_row = 1,
			.a_term = NET_CLASSES,
			.m = image_rows(net, net->h)});
		out += (end - first) * width;
		first = end;
	}
	if (first < last) {
		memset(out, 0, width * sizeof *out);
		for (size_t b = 0; b < net->batch; b++)
			for (size_t c = 0; c < NET_CLASSES; c++)
				out[c] += net->probability[b * NET_CLASSES + c];
	}
}
