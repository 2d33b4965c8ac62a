#include "common/nn.h"

#include "common/kernels.h"
#include "common/mem.h"

#include <math.h>
#include <stdlib.h>

#define ADAM_BLOCK 16384

struct nn {
	int layers, n; // of the last forward
	struct layer **layer;
	struct layer_edge **edge; // edge[i] goes into layer[i]; edge[layers] comes out
	size_t *first, *count;    // of each layer's parameters
	void (*on_layer)(void *arg);
	void *on_layer_arg;
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

// The widest edge's is in place 0, whichever network it is of, so that only that place need be so wide.
static void place_gradients(struct nn *net, int first)
{
	for (int i = 0; i <= net->layers; i++)
		layer_edge_place_gradient(net->edge[i], (i + first) % 2);
}

struct nn *nn_new(struct layer_device *device, const struct layer_spec *spec, int layers, enum layer_way way,
	struct layer_shape in, const float *params, float *grads)
{
	struct nn *net = mem_new(1, sizeof *net);
	net->layers = layers;
	net->layer = mem_new(layers, sizeof *net->layer);
	net->edge = mem_new(layers + 1, sizeof *net->edge);
	net->first = mem_new(layers, sizeof *net->first);
	net->count = mem_new(layers, sizeof *net->count);
	net->edge[0] = layer_edge_new_input(device, in);
	size_t at = 0, accumulated = 0, most = 0;
	int widest = 0;
	for (int i = 0; i < layers; i++) {
		net->first[i] = at;
		net->count[i] = layer_param_count(&spec[i], in);
		net->layer[i] = layer_new(
			device, &spec[i], way, net->edge[i], params + at, grads + at, &accumulated, &net->edge[i + 1]);
		at += net->count[i];
		in = layer_shape_out(&spec[i], in);
		widest = layer_shape_count(in) > most ? i + 1 : widest;
		most = layer_shape_count(in) > most ? layer_shape_count(in) : most;
	}
	place_gradients(net, widest % 2);
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
	free(net->first);
	free(net->count);
	free(net);
}

void nn_params_changed(struct nn *net)
{
	for (int i = 0; i < net->layers; i++)
		layer_params_changed(net->layer[i]);
}

void nn_on_layer(struct nn *net, void (*call)(void *arg), void *arg)
{
	net->on_layer = call;
	net->on_layer_arg = arg;
}

static void between(struct nn *net)
{
	if (net->on_layer)
		net->on_layer(net->on_layer_arg);
}

const float *nn_forward(struct nn *net, const float *in, int n)
{
	net->n = n;
	layer_edge_set_value(net->edge[0], in);
	for (int i = 0; i < net->layers; i++) {
		layer_forward(net->layer[i], n);
		between(net);
	}
	return layer_edge_output(net->edge[net->layers], n);
}

const float *nn_backward(struct nn *net, const float *dout, int what, const struct nn_ready *ready)
{
	layer_edge_set_output_gradient(net->edge[net->layers], net->n, dout, what);
	for (int i = net->layers - 1; i >= 0; i--) {
		// nobody may ask for the input's own gradient, often the dearest one
		layer_backward(net->layer[i], net->n, i ? what | LAYER_INPUT : what);
		if (ready && what & LAYER_LAST)
			ready->call(ready->arg, net->first[i], net->count[i]);
		between(net);
	}
	return what & LAYER_INPUT ? layer_edge_input_gradient(net->edge[0]) : NULL;
}

void nn_print_kernels(const struct nn *net, FILE *file)
{
	fprintf(file, "convolutions:");
	for (int i = 0; i < net->layers; i++)
		fprintf(file, " %s", layer_way_name(net->layer[i]));
	fprintf(file, "; matrix products: oneDNN's sgemm, %s; transforms: %s\n", layer_isa(), kernels_pick()->name);
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
	// 1 - 0.999f would be off by 5e-5
	const struct kernels_adam k = {.b1 = (float)a->beta1,
		.c1 = (float)(1 - a->beta1),
		.b2 = (float)a->beta2,
		.c2 = (float)(1 - a->beta2),
		.rate = (float)(a->rate / (1 - pow(a->beta1, (double)a->step))),
		.root = (float)(1 / sqrt(1 - pow(a->beta2, (double)a->step))),
		.epsilon = (float)a->epsilon};
	const struct kernels *kernels = kernels_pick();
#pragma omp parallel for
	for (size_t i = 0; i < a->count; i += ADAM_BLOCK) {
		size_t count = a->count - i < ADAM_BLOCK ? a->count - i : ADAM_BLOCK;
		kernels->adam(params + i, grads + i, a->m + i, a->v + i, count, &k);
	}
}
