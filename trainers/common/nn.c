#include "common/nn.h"

#include "common/mem.h"

#include <math.h>
#include <stdlib.h>

struct nn {
	int layers;
	struct layer **layer;
	struct layer_edge **edge; // edge[i] goes into layer[i]; edge[layers] comes out
	float *gradient[2];       // only two neighbouring edges have a live gradient at any time
	float *out, *din;         // plain copies for the caller
};

size_t nn_param_count(const struct layer_spec *spec, int layers, struct layer_shape in)
{
	size_t count = 0;
	for (int i = 0; i < layers; i++) {
		count += layer_param_count(&spec[i], in);
		in = layer_shape_out(&spec[i], in);
	}
	return count;
}

static void place_gradients(struct nn *net)
{
	size_t most = 0;
	for (int i = 0; i <= net->layers; i++) {
		size_t bytes = layer_edge_bytes(net->edge[i]);
		most = bytes > most ? bytes : most;
	}
	for (int k = 0; k < 2; k++)
		net->gradient[k] = mem_floats((most + 3) / 4);
	int k = 0;
	for (int i = net->layers; i >= 0; i--) {
		layer_edge_set_gradient(net->edge[i], net->gradient[k]);
		if (i > 0 && !layer_backward_in_place(net->layer[i - 1]))
			k = !k;
	}
}

struct nn *nn_new(
        struct layer_device *device, const struct layer_spec *spec, int layers, struct layer_shape in, const float *params, float *grads)
{
	struct nn *net = mem_new(1, sizeof *net);
	net->layers = layers;
	net->layer = mem_new(layers, sizeof *net->layer);
	net->edge = mem_new(layers + 1, sizeof *net->edge);
	net->edge[0] = layer_edge_new_input(device, in);
	net->din = mem_floats(layer_shape_count(in));
	size_t at = 0;
	for (int i = 0; i < layers; i++) {
		size_t count = layer_param_count(&spec[i], in);
		net->layer[i] = layer_new(device, &spec[i], net->edge[i], params + at, grads + at, &net->edge[i + 1]);
		at += count;
		in = layer_shape_out(&spec[i], in);
	}
	net->out = mem_floats(layer_shape_count(in));
	place_gradients(net);
	return net;
}

void nn_free(struct nn *net)
{
	if (!net)
		return;
	for (int i = 0; i < net->layers; i++)
		layer_free(net->layer[i]);
	for (int i = 0; i <= net->layers; i++)
		layer_edge_free(net->edge[i]);
	free(net->layer);
	free(net->edge);
	free(net->gradient[0]);
	free(net->gradient[1]);
	free(net->out);
	free(net->din);
	free(net);
}

void nn_params_changed(struct nn *net)
{
	for (int i = 0; i < net->layers; i++)
		layer_params_changed(net->layer[i]);
}

const float *nn_forward(struct nn *net, const float *in)
{
	layer_edge_set_value(net->edge[0], in);
	for (int i = 0; i < net->layers; i++)
		layer_forward(net->layer[i]);
	layer_edge_read_value(net->edge[net->layers], net->out);
	return net->out;
}

const float *nn_backward(struct nn *net, const float *dout, int what)
{
	layer_edge_write_gradient(net->edge[net->layers], dout);
	for (int i = net->layers - 1; i > 0; i--)
		layer_backward(net->layer[i], what | LAYER_INPUT);
	layer_backward(net->layer[0], what); // nobody may ask for the input's own gradient, often the dearest one
	if (!(what & LAYER_INPUT))
		return NULL;
	layer_edge_read_gradient(net->edge[0], net->din);
	return net->din;
}

double nn_bce(const float *logit, int count, float target, float *dlogit, double *probability)
{
	double loss = 0, sum = 0;
	for (int i = 0; i < count; i++) {
		double x = logit[i];
		double p = 1 / (1 + exp(-x));
		// -t log(p) - (1-t) log(1-p), in a form that neither overflows nor takes the logarithm of 0
		loss += fmax(x, 0) - x * target + log1p(exp(-fabs(x)));
		sum += p;
		dlogit[i] = (float)((p - target) / count);
	}
	*probability = sum / count;
	return loss / count;
}

void nn_adam_init(struct nn_adam *a, size_t count, double rate, double beta1, double beta2)
{
	*a = (struct nn_adam){.count = count, .rate = rate, .beta1 = beta1, .beta2 = beta2, .epsilon = 1e-8};
	a->m = mem_floats(count);
	a->v = mem_floats(count);
}

void nn_adam_fini(struct nn_adam *a)
{
	free(a->m);
	free(a->v);
}

void nn_adam_step(struct nn_adam *a, float *params, const float *grads)
{
	a->step++;
	const float b1 = (float)a->beta1, c1 = (float)(1 - a->beta1); // 1 - 0.999f would be off by 5e-5
	const float b2 = (float)a->beta2, c2 = (float)(1 - a->beta2), epsilon = (float)a->epsilon;
	const float rate = (float)(a->rate / (1 - pow(a->beta1, (double)a->step)));
	const float root = (float)(1 / sqrt(1 - pow(a->beta2, (double)a->step)));
	float *restrict m = a->m, *restrict v = a->v;
#pragma omp parallel for simd
	for (size_t i = 0; i < a->count; i++) {
		float g = grads[i];
		m[i] = b1 * m[i] + c1 * g;
		v[i] = b2 * v[i] + c2 * g * g;
		params[i] -= rate * m[i] / (sqrtf(v[i]) * root + epsilon);
	}
}
