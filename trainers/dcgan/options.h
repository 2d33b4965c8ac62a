// The command line of dcgan: one row per option, from which parsing and --help follow.
// Not defaults that depend on the machine: 0 threads means "decide later".
#ifndef DCGAN_OPTIONS_H
#define DCGAN_OPTIONS_H
#include "common/layer.h"

#include <stdbool.h>
#include <stdint.h>

enum dataset { DATASET_CIFAR10, DATASET_MNIST, DATASET_FASHION, DATASET_FOLDER, DATASET_AUTO };

struct options {
	enum dataset dataset;
	const char *dataroot, *out_folder;
	const char *init;       // NULL: weights and noise from the seed
	const char *checkpoint; // NULL: none is written
	long image_size, batch_size, num_epochs, max_iters, threads, seed, every, generate;
	enum layer_way conv;
	bool test_data, resume;
};

// Reads the command line. On --help prints it and exits 0; on anything wrong prints one line that says what and
// exits 2. The strings are argv's.
void options_parse(struct options *o, int argc, char **argv);

#endif
