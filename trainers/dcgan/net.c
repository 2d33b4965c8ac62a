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
	struct layer_spec layer = {.kind = LAYER_DECONV, .kernel = 4, .norm = true, .activation = LAYER_RELU};
	*net = (struct net){.in = {.n = 1, .c = NET_NOISE, .h = 1, .w = 1}};
	layer.stride = 1;
	layer.channels = WIDTH * size / 8;
	add(net, layer);
	layer.stride = 2;
	layer.pad = 1;
	for (int edge = 8; edge < size; edge *= 2) {
		layer.channels = WIDTH * size / edge / 2;
		add(net, layer);
	}
	layer.channels = channels;
	layer.norm = false;
	layer.activation = LAYER_TANH;
	add(net, layer);
	allocate(net);
}

// SIZE x SIZE -> ... -> 8x8 -> 4x4 -> one logit
void net_init_discriminator(struct net *net, int channels, int size)
{
	struct layer_spec layer = {
		.kind = LAYER_CONV, .kernel = 4, .stride = 2, .pad = 1, .activation = LAYER_RELU, .slope = 0.2f};
	*net = (struct net){.in = {.n = 1, .c = channels, .h = size, .w = size}};
	layer.channels = WIDTH;
	add(net, layer);
	layer.norm = true;
	for (int edge = size / 4; edge >= 4; edge /= 2) {
		layer.channels = WIDTH * (size / edge) / 2;
		add(net, layer);
	}
	add(net, (struct layer_spec){.kind = LAYER_CONV, .channels = 1, .kernel = 4, .stride = 1, .pad = 0});
	allocate(net);
}

void net_build(struct net *net, struct layer_device *device, enum layer_way way, int batch)
{
	struct layer_shape in = net->in;
	in.n = batch;
	net->nn = nn_new(device, net->spec, net->layers, way, in, net->params, net->grads);
}

void net_fini(struct net *net)
{
	nn_free(net->nn);
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
		size_t norm = net->spec[i].norm ? (size_t)net->spec[i].channels : 0;
		rng_fill_normal(rng, at, count - 2 * norm, 0, 0.02);
		rng_fill_normal(rng, at + count - 2 * norm, norm, 1, 0.02);
		memset(at + count - norm, 0, norm * sizeof *at);
		at += count;
		shape = layer_shape_out(&net->spec[i], shape);
	}
}
