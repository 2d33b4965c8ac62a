// A set of decoded images of one size, 8 bits a sample, and the decoders of PNG and JPEG files.
// Not a file format of data sets (idx, cifar, folder make such sets) and not floating point (the trainer converts).
#ifndef COMMON_IMAGE_H
#define COMMON_IMAGE_H
#include <stddef.h>
#include <stdint.h>

struct images {
	size_t count;
	int channels, height, width;
	uint8_t *pixels; // [count][channels][height][width]
};

// Bytes of one image.
size_t images_bytes(const struct images *set);

// An empty set of COUNT zeroed images. Dies when that is more than fits.
struct images images_new(size_t count, int channels, int height, int width);
void images_fini(struct images *set);

// One file, PNG or JPEG by its first bytes, as a set of one image of three channels (grey is copied to all,
// transparency is dropped). Dies with the path and the reason when it cannot be read, is damaged, or claims more than
// IMAGE_MAX_PIXELS.
#define IMAGE_MAX_PIXELS (1 << 27)
struct images image_load(const char *path);

#endif
