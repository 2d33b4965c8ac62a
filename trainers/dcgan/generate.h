// Images from a checkpoint, as PNG files.
// Not the pictures that a training shows of itself (dcgan.c).
#ifndef DCGAN_GENERATE_H
#define DCGAN_GENERATE_H
#include "dcgan/group.h"
#include "dcgan/options.h"

// Writes the images that the options ask for to their out_folder, generated_seed_SSS_NNNNNN.png, N from 0. Ranks share
// the work. Image N depends on the checkpoint, the seed and N alone: batches are full, of the training's size, because
// batch norm is part of the network. Dies when there is no checkpoint.
void generate(const struct options *o, const struct group *g);

#endif
