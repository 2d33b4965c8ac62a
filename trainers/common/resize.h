// Resizing and cropping of 8-bit planes, to the byte as torchvision's Resize and CenterCrop do it with PIL's bilinear
// filter. Not a general resampler: one filter (a triangle, as wide as the scale when it shrinks), square results only.
#ifndef COMMON_RESIZE_H
#define COMMON_RESIZE_H
#include "common/image.h"

struct resize;

// For images of HEIGHT x WIDTH to SIZE x SIZE: the short edge to SIZE, the middle of the long one. Caller frees.
struct resize *resize_new(int height, int width, int size);
void resize_free(struct resize *r);

// PLANES planes of HEIGHT x WIDTH at IN to as many of SIZE x SIZE at OUT.
void resize_run(struct resize *r, const uint8_t *in, int planes, uint8_t *out);

#endif
