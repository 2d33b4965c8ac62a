// Reads images from IDX files, gzipped or not: the format of MNIST and Fashion-MNIST.
// Not labels: the networks here do not use them.
#pragma once
#include "common/image.h"

// One file of images. Dies with the path and the reason when it is not exactly that.
struct images idx_load(const char *path);

// From directory DIR the standard file of the split, train-images-idx3-ubyte or t10k-images-idx3-ubyte, with or without .gz.
struct images idx_load_dir(const char *dir, int test);
