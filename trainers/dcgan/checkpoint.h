// The state of a training in one file: what it goes on from as if it had never stopped, or generates images from.
// Not when one is written or who reads it (dcgan.c), and not initial weights made elsewhere (init.h).
#ifndef DCGAN_CHECKPOINT_H
#define DCGAN_CHECKPOINT_H
#include "dcgan/net.h"

#include <stdint.h>

// What the losses of a training depend on beside the iteration it is at.
enum checkpoint_fact {
	CHECKPOINT_IMAGE_SIZE,
	CHECKPOINT_CHANNELS,
	CHECKPOINT_BATCH_SIZE,
	CHECKPOINT_RANKS,
	CHECKPOINT_SEED,
	CHECKPOINT_CONV,        // enum layer_way
	CHECKPOINT_IMAGES,      // how many there are
	CHECKPOINT_DATA_DIGEST, // data_digest()
	CHECKPOINT_INIT_DIGEST, // init_digest()
	CHECKPOINT_FACTS
};

struct checkpoint_head {
	uint64_t fact[CHECKPOINT_FACTS];
	uint64_t step;                     // iterations done, each of them one step of either network's optimiser
	uint64_t generator, discriminator; // parameters
};

// The file DIR/checkpoint: "dcgan-c\n", the version, struct checkpoint_head, the generator's parameters, Adam's m and
// v, the discriminator's the same way, and the CRC-32 of all that; 64-bit numbers and floats, all little endian.
// Parameters are in PyTorch's order and layouts. The file is complete or as it was before: it is written beside
// (DIR/checkpoint.tmp), synced, renamed, and DIR synced.
struct checkpoint {
	struct checkpoint_head head;
	char *path;
	float *floats;
};

// Makes DIR when it is missing and removes what a killed writer left there. Dies when DIR cannot be written to.
void checkpoint_prepare(const char *dir);

// Replaces the checkpoint of DIR. The counts in HEAD must be those of the networks. Dies when it cannot; the one before
// is then untouched.
void checkpoint_save(const char *dir, const struct checkpoint_head *head, const struct net *generator,
	const struct net *discriminator);

// Reads the checkpoint of DIR; false when there is none. Dies unless it is whole. Owned by the caller.
bool checkpoint_load(struct checkpoint *c, const char *dir);
void checkpoint_fini(struct checkpoint *c);

// Dies, and says why, unless training can go on from FOUND under the facts and with the networks of MINE. DIR is for
// the message.
void checkpoint_check(const char *dir, const struct checkpoint_head *found, const struct checkpoint_head *mine);

// Parameters and optimiser of both networks become those of the checkpoint, whose counts must be the networks'.
void checkpoint_restore(const struct checkpoint *c, struct net *generator, struct net *discriminator);

// The generator's parameters, as long as C.
const float *checkpoint_generator(const struct checkpoint *c);

#endif
