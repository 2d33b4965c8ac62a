#include "dcgan/net.h"

#include "common/die.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

#define WIDTH 64 // channels next to the image; they double with each halving of the edge

static void add(struct net *net, struct layer_spec spec)
{
	if (net->layers == NET_MAX_LAYERS)
		die("more than %d layers", NET_MAX_LAYERS);
	net->spec[net->layers++] = spec;
}

static void add_norm_relu(struct net *net, float slope)
{
	add(net, (struct layer_spec){.kind = LAYER_BATCH_NORM});
	add(net, (struct layer_spec){.kind = LAYER_RELU, .slope = slope});
}

static void allocate(struct net *net)
{
	net->count = nn_param_count(net->spec, net->layers, net->in);
	net->params = mem_floats(net->count);
	net->grads = mem_floats(net->count);
	nn_adam_init(&net->adam, net->count, 2e-4, 0.5, 0.999);
}

// noise -> 4x4 -> 8x8 -> ... -> SIZE x SIZE
void net_init_generator(struct net *net, int channels, int size)
{
	*net = (struct net){.in = {.n = 1, .c = NET_NOISE, .h = 1, .w = 1}};
	add(net, (struct layer_spec){.kind = LAYER_DECONV, .channels = WIDTH * size / 8, .kernel = 4, .stride = 1, .pad = 0});
	add_norm_relu(net, 0);
	for (int edge = 8; edge < size; edge *= 2) {
		add(net,
		        (struct layer_spec){.kind = LAYER_DECONV, .channels = WIDTH * size / edge / 2, .kernel = 4, .stride = 2, .pad = 1});
		add_norm_relu(net, 0);
	}
	add(net, (struct layer_spec){.kind = LAYER_DECONV, .channels = channels, .kernel = 4, .stride = 2, .pad = 1});
	add(net, (struct layer_spec){.kind = LAYER_TANH});
	allocate(net);
}

// SIZE x SIZE -> ... -> 8x8 -> 4x4 -> one logit
void net_init_discriminator(struct net *net, int channels, int size)
{
	*net = (struct net){.in = {.n = 1, .c = channels, .h = size, .w = size}};
	add(net, (struct layer_spec){.kind = LAYER_CONV, .channels = WIDTH, .kernel = 4, .stride = 2, .pad = 1});
	add(net, (struct layer_spec){.kind = LAYER_RELU, .slope = 0.2f});
	for (int edge = size / 4; edge >= 4; edge /= 2) {
		add(net,
		        (struct layer_spec){.kind = LAYER_CONV, .channels = WIDTH * (size / edge) / 2, .kernel = 4, .stride = 2, .pad = 1});
		add_norm_relu(net, 0.2f);
	}
	add(net, (struct layer_spec){.kind = LAYER_CONV, .channels = 1, .kernel = 4, .stride = 1, .pad = 0});
	allocate(net);
}

void net_fini(struct net *net)
{
	free(net->params);
	free(net->grads);
	nn_adam_fini(&net->adam);
}

void net_randomize(struct net *net, struct rng *rng)
{
	struct layer_shape shape = net->in;
	float *at = net->params;
	for (int i = 0; i < net->layers; i++) {
		size_t count = layer_param_count(&net->spec[i], shape);
		if (net->spec[i].kind == LAYER_BATCH_NORM) {
			rng_fill_normal(rng, at, count / 2, 1, 0.02);
			memset(at + count / 2, 0, count / 2 * sizeof *at);
		} else {
			rng_fill_normal(rng, at, count, 0, 0.02);
		}
		at += count;
		shape = layer_shape_out(&net->spec[i], shape);
	}
}
