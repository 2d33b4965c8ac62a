// Reads a folder of PNG and JPEG images, however deep in class folders, to a set of squares of one size.
// Not labels: which folder an image is in does not matter here.
#ifndef COMMON_FOLDER_H
#define COMMON_FOLDER_H
#include "common/image.h"

// Every file under DIR that ends in .png, .jpg or .jpeg (any case), in the order of their paths, resized and cropped to
// SIZE x SIZE with three channels, decoded once. Other files are passed over. Dies when there is no image, or one
// cannot be read.
struct images folder_load(const char *dir, int size);

#endif
