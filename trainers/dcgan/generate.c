#include "dcgan/generate.h"

#include "common/die.h"
#include "common/mem.h"
#include "common/png.h"
#include "dcgan/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PURPOSE_GENERATE 20 // of random numbers; those of training are in dcgan.c

// The generator that C was written with.
static struct net load_generator(const struct checkpoint *c)
{
	uint64_t size = c->head.fact[CHECKPOINT_IMAGE_SIZE], channels = c->head.fact[CHECKPOINT_CHANNELS];
	uint64_t batch = c->head.fact[CHECKPOINT_BATCH_SIZE];
	if (size < 16 || size > 1024 || (size & (size - 1)) || (channels != 1 && channels != 3) || batch < 1 ||
		batch > 65536)
		die("%s: is of batches of %llu x %llu x %llu x %llu, which no training has", c->path,
			(unsigned long long)batch, (unsigned long long)channels, (unsigned long long)size,
			(unsigned long long)size);
	struct net net;
	net_init_generator(&net, (int)channels, (int)size);
	if (net.count != c->head.generator)
		die("%s: has a generator of %llu parameters, expected %zu", c->path,
			(unsigned long long)c->head.generator, net.count);
	memcpy(net.params, checkpoint_generator(c), net.count * sizeof *net.params);
	return net;
}

static void write_images(
	const struct options *o, const struct checkpoint *c, const float *samples, long first, long count)
{
	int channels = (int)c->head.fact[CHECKPOINT_CHANNELS], size = (int)c->head.fact[CHECKPOINT_IMAGE_SIZE];
	for (long i = 0; i < count; i++, samples += (size_t)channels * (size_t)size * (size_t)size) {
		char *path;
		if (asprintf(&path, "%s/generated_seed_%03ld_%06ld.png", o->out_folder, o->seed, first + i) < 0)
			die("out of memory");
		png_write_one(path, samples, channels, size);
		free(path);
	}
}

void generate(const struct options *o, const struct group *g)
{
	struct checkpoint c;
	if (!checkpoint_load(&c, o->checkpoint))
		die("%s: no checkpoint there", o->checkpoint);
	struct net net = load_generator(&c);
	int batch = (int)c.head.fact[CHECKPOINT_BATCH_SIZE];
	struct layer_device *device = layer_device_new();
	net_build(&net, device, o->conv, batch);
	float *noise = mem_floats((size_t)batch * NET_NOISE);
	for (long b = g->rank; b * batch < o->generate; b += g->size) {
		struct rng rng;
		long first = b * batch, left = o->generate - first;
		rng_init(&rng, (uint64_t)o->seed, PURPOSE_GENERATE, (uint64_t)b);
		rng_fill_normal(&rng, noise, (size_t)batch * NET_NOISE, 0, 1);
		write_images(o, &c, nn_forward(net.nn, noise, batch), first, left < batch ? left : batch);
	}
	free(noise);
	net_fini(&net);
	layer_device_free(device);
	checkpoint_fini(&c);
}
