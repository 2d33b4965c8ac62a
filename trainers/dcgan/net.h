// The two networks of DCGAN (Radford, Metz, Chintala 2015): which layers, which initial weights, one flat block each.
// Not how a layer computes (common/layer.h) and not the training loop (dcgan.c).
#ifndef DCGAN_NET_H
#define DCGAN_NET_H
#include "common/nn.h"
#include "common/rng.h"

#define NET_NOISE 100 // numbers that an image is generated from
#define NET_MAX_LAYERS 32

struct net {
	struct layer_spec spec[NET_MAX_LAYERS];
	int layers;
	struct layer_shape in; // of one image or one noise vector
	size_t count;          // of parameters
	float *params, *grads;
	struct nn_adam adam;
	struct nn *nn; // once it is built
};

// For images of CHANNELS x SIZE x SIZE, SIZE a power of two from 16. The generator ends in tanh; the discriminator ends
// in a logit, its sigmoid being part of the loss.
void net_init_generator(struct net *net, int channels, int size);
void net_init_discriminator(struct net *net, int channels, int size);

// Makes NET->nn, for batches of at most BATCH, over these parameters. DEVICE must outlive it.
void net_build(struct net *net, struct layer_device *device, enum layer_way way, int batch);
void net_fini(struct net *net);

// Weights from N(0, 0.02), batch norm's gamma from N(1, 0.02), its beta 0.
void net_randomize(struct net *net, struct rng *rng);

#endif
