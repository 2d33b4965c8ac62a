// Every layer, and both networks whole: forward against a plain double-precision reference, backward against central
// differences of that reference. Differences are taken of the reference, not of the float code, so that they are good
// to nine digits and the tolerance is the float code's own rounding; each is taken with two steps, and where they
// disagree (a kink of relu between) the entry is passed over and counted.
#include "common/mem.h"
#include "common/nn.h"
#include "common/rng.h"
#include "dcgan/net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLES 16 // entries of each layer's gradient that are checked

// ---- the reference. Most of the time goes into its two innermost loops, and sanitizers would make that minutes.

#define FAST __attribute__((no_sanitize("address", "undefined"), optimize("O3")))

static double *doubles(size_t count)
{
	return mem_new(count, sizeof(double));
}

FAST static void ref_conv(const struct layer_spec *s, const double *w, struct layer_shape in, const double *x,
	struct layer_shape out, double *y)
{
	for (int n = 0; n < out.n; n++)
		for (int o = 0; o < out.c; o++)
			for (int i = 0; i < out.h * out.w; i++) {
				double sum = 0;
				for (int c = 0; c < in.c; c++)
					for (int a = 0, h = i / out.w * s->stride - s->pad; a < s->kernel; a++, h++)
						for (int b = 0, v = i % out.w * s->stride - s->pad;
							b < s->kernel && h >= 0 && h < in.h; b++, v++)
							if (v >= 0 && v < in.w)
								sum += w[((o * in.c + c) * s->kernel + a) * s->kernel +
									       b] *
								       x[((n * in.c + c) * in.h + h) * in.w + v];
				y[(n * out.c + o) * out.h * out.w + i] = sum;
			}
}

FAST static void ref_deconv(const struct layer_spec *s, const double *w, struct layer_shape in, const double *x,
	struct layer_shape out, double *y)
{
	for (int n = 0; n < in.n; n++)
		for (int c = 0; c < in.c; c++)
			for (int i = 0; i < in.h * in.w; i++)
				for (int o = 0; o < out.c; o++)
					for (int a = 0, h = i / in.w * s->stride - s->pad; a < s->kernel; a++, h++)
						for (int b = 0, v = i % in.w * s->stride - s->pad;
							b < s->kernel && h >= 0 && h < out.h; b++, v++)
							if (v >= 0 && v < out.w)
								y[((n * out.c + o) * out.h + h) * out.w + v] +=
									w[((c * out.c + o) * s->kernel + a) *
											s->kernel +
										b] *
									x[(n * in.c + c) * in.h * in.w + i];
}

static void ref_norm(const double *gamma, const double *beta, struct layer_shape s, const double *x, double *y)
{
	int plane = s.h * s.w;
	for (int c = 0; c < s.c; c++) {
		double mean = 0, variance = 0;
		for (int i = 0; i < s.n * plane; i++)
			mean += x[(i / plane * s.c + c) * plane + i % plane] / (s.n * plane);
		for (int i = 0; i < s.n * plane; i++)
			variance += pow(x[(i / plane * s.c + c) * plane + i % plane] - mean, 2) / (s.n * plane);
		for (int i = 0; i < s.n * plane; i++) {
			int at = (i / plane * s.c + c) * plane + i % plane;
			y[at] = gamma[c] * (x[at] - mean) / sqrt(variance + 1e-5) + beta[c];
		}
	}
}

// The output of all layers; caller frees.
static double *ref_forward(
	const struct layer_spec *spec, int layers, struct layer_shape in, const double *w, const double *input)
{
	double *x = doubles(layer_shape_count(in));
	memcpy(x, input, layer_shape_count(in) * sizeof *x);
	for (int l = 0; l < layers; l++) {
		const struct layer_spec *s = &spec[l];
		struct layer_shape out = layer_shape_out(s, in);
		double *y = doubles(layer_shape_count(out));
		if (s->kind == LAYER_CONV)
			ref_conv(s, w, in, x, out, y);
		else
			ref_deconv(s, w, in, x, out, y);
		w += layer_param_count(s, in);
		if (s->norm)
			ref_norm(w - 2 * out.c, w - out.c, out, y, y);
		for (size_t i = 0; i < layer_shape_count(out) && s->activation != LAYER_LINEAR; i++)
			y[i] = s->activation == LAYER_TANH ? tanh(y[i]) : y[i] > 0 ? y[i] : y[i] * s->slope;
		free(x);
		x = y;
		in = out;
	}
	return x;
}

// ---- one comparison

// The reference has planes, the code channels side by side.
static float *side_by_side(struct layer_shape s, const double *planes)
{
	int plane = s.h * s.w;
	float *to = mem_floats(layer_shape_count(s));
	for (size_t i = 0; i < layer_shape_count(s); i++)
		to[i] = (float)planes[((int)i / plane / s.c * s.c + (int)i % s.c) * plane + (int)i / s.c % plane];
	return to;
}

static float *planes(struct layer_shape s, const float *side_by_side)
{
	int plane = s.h * s.w;
	float *to = mem_floats(layer_shape_count(s));
	for (size_t i = 0; i < layer_shape_count(s); i++)
		to[((int)i / plane / s.c * s.c + (int)i % s.c) * plane + (int)i / s.c % plane] = side_by_side[i];
	return to;
}

struct check {
	const struct layer_spec *spec;
	int layers;
	struct layer_shape in, out;
	size_t ins, outs, params;
	double *x, *w,
		*r; // input, parameters, weights of the outputs in the loss (all exactly representable as floats)
	float *xf, *wf, *rf, *grads;
	float rounding; // of the largest gradient
	int passed_over, checked;
};

static double ref_loss(const struct check *c)
{
	double *y = ref_forward(c->spec, c->layers, c->in, c->w, c->x), sum = 0;
	for (size_t i = 0; i < c->outs; i++)
		sum += y[i] * c->r[i];
	free(y);
	return sum;
}

static double central(const struct check *c, double *entry, double step)
{
	double was = *entry;
	*entry = was + step;
	double up = ref_loss(c);
	*entry = was - step;
	double down = ref_loss(c);
	*entry = was;
	return (up - down) / (2 * step);
}

// COUNT entries at ENTRY, whose gradients the code says are GRAD.
static void check_gradients(struct check *c, double *entry, const float *grad, size_t count, const char *what)
{
	double most = 0;
	for (size_t i = 0; i < count; i++)
		most = fmax(most, fabs(grad[i]));
	c->rounding = fmaxf(c->rounding, 1e-6f * (float)most);
	size_t stride = count / SAMPLES + 1;
	for (size_t i = 0; i < count; i += stride) {
		double a = central(c, &entry[i], 1e-5), b = central(c, &entry[i], 5e-6);
		c->checked++;
		if (fabs(a - b) > 1e-6 * (fabs(a) + most)) {
			c->passed_over++;
			continue;
		}
		if (!(fabs(grad[i] - b) <= 2e-5 * most + 1e-4 * fabs(b)))
			fail_msg("%s %zu of %zu: gradient %.9g, differences say %.9g and %.9g (largest %.3g)", what, i,
				count, grad[i], a, b, most);
	}
}

static void fill(struct rng *r, double *d, size_t count, double deviation)
{
	for (size_t i = 0; i < count; i++)
		d[i] = (float)(deviation * rng_normal(r));
}

static void check_init(
	struct check *c, const struct layer_spec *spec, int layers, struct layer_shape in, double deviation)
{
	*c = (struct check){.spec = spec, .layers = layers, .in = in, .out = in};
	for (int l = 0; l < layers; l++)
		c->out = layer_shape_out(&spec[l], c->out);
	c->ins = layer_shape_count(in);
	c->outs = layer_shape_count(c->out);
	c->params = nn_param_count(spec, layers, in);
	c->x = doubles(c->ins);
	c->w = doubles(c->params);
	c->r = doubles(c->outs);
	c->wf = mem_floats(c->params);
	c->grads = mem_floats(c->params);
	struct rng r;
	rng_init(&r, 5, (uint64_t)spec->kind, c->params);
	fill(&r, c->x, c->ins, 1);
	fill(&r, c->w, c->params, deviation);
	fill(&r, c->r, c->outs, 1);
	c->xf = side_by_side(c->in, c->x);
	c->rf = side_by_side(c->out, c->r);
	for (size_t i = 0; i < c->params; i++)
		c->wf[i] = (float)c->w[i];
}

static void check_fini(struct check *c)
{
	void *all[] = {c->x, c->w, c->r, c->xf, c->wf, c->rf, c->grads};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}

static void check_forward(const struct check *c, const float *got)
{
	float *out = planes(c->out, got);
	double *y = ref_forward(c->spec, c->layers, c->in, c->w, c->x), most = 0;
	for (size_t i = 0; i < c->outs; i++)
		most = fmax(most, fabs(y[i]));
	for (size_t i = 0; i < c->outs; i++)
		if (!(fabs(out[i] - y[i]) <= 1e-5 * most))
			fail_msg("output %zu of %zu: %.9g, expected %.9g", i, c->outs, out[i], y[i]);
	free(out);
	free(y);
}

static void check_input_gradient(struct check *c, const float *got)
{
	float *gradient = planes(c->in, got);
	check_gradients(c, c->x, gradient, c->ins, "input");
	free(gradient);
}

// What is asked for is what is written: adding up, leaving alone, holding back, all in the same numbers.
static void check_parts(const struct check *c, struct nn *net, const float *din)
{
	const size_t bytes = c->params * sizeof(float);
	float *grads = mem_floats(c->params), *input = mem_floats(c->ins);
	memcpy(grads, c->grads, bytes);
	memcpy(input, din, c->ins * sizeof *input);
	nn_forward(net, c->xf, c->in.n);
	const float *again = nn_backward(net, c->rf, LAYER_INPUT, NULL);
	assert_memory_equal(again, input, c->ins * sizeof *input);
	assert_memory_equal(c->grads, grads, bytes);
	memset(c->grads, 0, bytes);
	nn_forward(net, c->xf, c->in.n);
	assert_null(nn_backward(net, c->rf, LAYER_WEIGHTS, NULL));
	nn_forward(net, c->xf, c->in.n);
	nn_backward(net, c->rf, LAYER_WEIGHTS | LAYER_LAST, NULL);
	for (size_t i = 0; i < c->params; i++)
		assert_true(fabsf(c->grads[i] - 2 * grads[i]) <= 1e-5f * fabsf(grads[i]) + c->rounding);
	free(grads);
	free(input);
}

static void count_ready(void *arg, size_t first, size_t count)
{
	size_t *left = arg;
	assert_int_equal(first + count, *left); // from the last layer to the first, without gaps
	*left = first;
}

static void check_way(struct check *c, enum layer_way way)
{
	size_t left = c->params;
	struct nn_ready ready = {count_ready, &left};
	struct layer_device *device = layer_device_new();
	struct nn *net = nn_new(device, c->spec, c->layers, way, c->in, c->wf, c->grads);
	memset(c->grads, 0, c->params * sizeof *c->grads);
	check_forward(c, nn_forward(net, c->xf, c->in.n));
	const float *din = nn_backward(net, c->rf, LAYER_WEIGHTS | LAYER_INPUT | LAYER_LAST, &ready);
	assert_int_equal(left, 0);
	check_input_gradient(c, din);
	struct layer_shape shape = c->in;
	for (size_t l = 0, at = 0; l < (size_t)c->layers; l++) {
		size_t count = layer_param_count(&c->spec[l], shape),
		       norm = c->spec[l].norm ? 2 * (size_t)c->spec[l].channels : 0;
		check_gradients(c, c->w + at, c->grads + at, count - norm, "weight");
		check_gradients(c, c->w + at + count - norm, c->grads + at + count - norm, norm, "gamma or beta");
		at += count;
		shape = layer_shape_out(&c->spec[l], shape);
	}
	assert_true(c->passed_over * 20 <= c->checked);
	check_parts(c, net, din);
	nn_free(net);
	layer_device_free(device);
}

static void check_all(const struct layer_spec *spec, int layers, struct layer_shape in, double deviation)
{
	struct check c;
	check_init(&c, spec, layers, in, deviation);
	check_way(&c, LAYER_DIRECT);
	check_way(&c, LAYER_WINOGRAD);
	check_fini(&c);
}

// ---- the layers that the networks are made of, and odd channel counts, batches and edges beside them

struct layer_case {
	int n, c, edge, out, stride, pad;
};

static void check_cases(enum layer_kind kind, const struct layer_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct layer_spec s = {.kind = kind,
			.channels = cases[i].out,
			.kernel = 4,
			.stride = cases[i].stride,
			.pad = cases[i].pad};
		check_all(&s, 1, (struct layer_shape){cases[i].n, cases[i].c, cases[i].edge, cases[i].edge}, 0.1);
	}
}

static void test_conv(void **state)
{
	(void)state;
	static const struct layer_case cases[] = {{3, 1, 16, 64, 2, 1}, {2, 3, 16, 64, 2, 1}, {2, 64, 8, 48, 2, 1},
		{3, 128, 4, 1, 1, 0}, {3, 5, 6, 7, 2, 1}, {1, 17, 5, 3, 1, 0}, {3, 20, 8, 17, 2, 1},
		{1, 16, 24, 40, 2, 1}};
	check_cases(LAYER_CONV, cases, sizeof cases / sizeof *cases);
}

static void test_deconv(void **state)
{
	(void)state;
	static const struct layer_case cases[] = {{3, 100, 1, 128, 1, 0}, {2, 64, 8, 1, 2, 1}, {2, 64, 8, 3, 2, 1},
		{2, 128, 4, 32, 2, 1}, {3, 5, 3, 7, 2, 1}, {1, 17, 2, 3, 1, 0}, {3, 20, 4, 17, 2, 1},
		{1, 40, 12, 16, 2, 1}};
	check_cases(LAYER_DECONV, cases, sizeof cases / sizeof *cases);
}

// What is done to a convolution's output, where it is read: by nobody but the caller, by oneDNN, by Winograd's way.
static void test_norm_and_activation(void **state)
{
	(void)state;
	static const struct layer_spec last[] = {{.norm = true}, {.norm = true, .activation = LAYER_RELU},
		{.activation = LAYER_RELU, .slope = 0.2f}, {.norm = true, .activation = LAYER_RELU, .slope = 0.2f},
		{.activation = LAYER_TANH}};
	for (size_t i = 0; i < sizeof last / sizeof *last; i++) {
		struct layer_spec one = last[i],
				  two[2] = {last[i],
					  {.kind = LAYER_CONV, .channels = 18, .kernel = 4, .stride = 2, .pad = 1}};
		one.channels = two[0].channels = i == 4 ? 3 : 20;
		one.kernel = two[0].kernel = 3;
		one.stride = two[0].stride = 1;
		one.pad = two[0].pad = 1;
		check_all(&one, 1, (struct layer_shape){3, 4, 5, 5}, 0.3);
		if (i < 4)
			check_all(two, 2, (struct layer_shape){3, 4, 8, 8}, 0.3);
	}
}

// In a chain layers share memory and pass gradients on: all that the single layers cannot show.
static void test_networks(void **state)
{
	(void)state;
	for (int channels = 1; channels <= 3; channels += 2) {
		struct net g, d;
		net_init_generator(&g, channels, 16);
		net_init_discriminator(&d, channels, 16);
		g.in.n = d.in.n = 2;
		if (channels == 3)
			check_all(g.spec, g.layers, g.in, 0.1);
		else
			check_all(d.spec, d.layers, d.in, 0.1);
		net_fini(&g);
		net_fini(&d);
	}
}

// New parameters must be used, not the copies made of the old ones, in both directions; and a smaller batch than the
// network is for.
static void test_params_changed(void **state)
{
	(void)state;
	struct layer_spec s = {.kind = LAYER_CONV, .channels = 32, .kernel = 4, .stride = 2, .pad = 1};
	for (enum layer_way way = LAYER_DIRECT; way <= LAYER_WINOGRAD; way++) {
		struct check c;
		check_init(&c, &s, 1, (struct layer_shape){2, 16, 8, 8}, 0.1);
		struct layer_device *device = layer_device_new();
		struct nn *net = nn_new(device, &s, 1, way, (struct layer_shape){5, 16, 8, 8}, c.wf, c.grads);
		float *more = mem_floats(c.ins * 3);
		nn_forward(net, more, 5);
		nn_forward(net, c.xf, 2);
		nn_backward(net, c.rf, LAYER_INPUT, NULL);
		for (size_t i = 0; i < c.params; i++)
			c.w[i] = c.wf[i] = -2 * c.wf[i];
		nn_params_changed(net);
		check_forward(&c, nn_forward(net, c.xf, 2));
		check_input_gradient(&c, nn_backward(net, c.rf, LAYER_INPUT, NULL));
		free(more);
		nn_free(net);
		layer_device_free(device);
		check_fini(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conv),
		cmocka_unit_test(test_deconv),
		cmocka_unit_test(test_norm_and_activation),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_params_changed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
