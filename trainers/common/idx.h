// Reads images from IDX files, gzipped or not: the format of MNIST and Fashion-MNIST.
// Not a data set: which images belong together, and in which order they are used, is the caller's affair.
#ifndef COMMON_IDX_H
#define COMMON_IDX_H
#include "common/image.h"

// One file of images. Dies with the path and the reason when it is not exactly that.
struct images idx_load(const char *path);

// From directory DIR the standard file of the split, train-images-idx3-ubyte or t10k-images-idx3-ubyte, with or without
// .gz.
struct images idx_load_dir(const char *dir, int test);

// A file of images that is read piece by piece, in the order it has.
struct idx_reader {
	char *path;
	void *file; // zlib's
	size_t count, height, width;
	size_t done; // images read so far
};

// From directory DIR the standard file of images of the split. Dies as idx_load does.
void idx_open_dir(struct idx_reader *r, const char *dir, int test);

// The next COUNT images, height * width bytes each, into OUT. There must be so many left. After the last one the file
// is closed, and dies when it goes on or is damaged.
void idx_read(struct idx_reader *r, uint8_t *out, size_t count);

// Closes what is not read to its end.
void idx_close(struct idx_reader *r);

// From directory DIR the labels of the split: COUNT bytes, each below LIMIT, or it dies. Caller frees.
uint8_t *idx_labels_dir(const char *dir, int test, size_t count, unsigned limit);

#endif
