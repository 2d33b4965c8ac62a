// Reads CIFAR-10 from the folder it is unpacked to, in the binary layout or the python one (pickles).
// Not labels, not CIFAR-100, and never a Python: pickle.h reads the pickles and executes nothing.
#ifndef COMMON_CIFAR_H
#define COMMON_CIFAR_H
#include "common/image.h"

#define CIFAR_EDGE 32
#define CIFAR_BYTES (3 * CIFAR_EDGE * CIFAR_EDGE)

// From DIR the batches of the split: data_batch_1..5 or test_batch, with .bin (binary) or without (python). All that
// are there are read, in order; at least one must be. Dies with the path and the reason when one is not what its name
// says.
struct images cifar_load_dir(const char *dir, int test);

#endif
