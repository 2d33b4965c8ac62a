// Writes pictures of samples as PNG files.
// Not a reader (image.h is) and not for one picture of any pixels: it makes grids of generated or real samples.
#ifndef COMMON_PNG_H
#define COMMON_PNG_H

// COUNT samples of SIZE x SIZE x CHANNELS (1 or 3) floats in [-1, 1], as a grid of at most COLUMNS across with two
// black pixels between. PATH is complete or as it was: written beside, then renamed. Dies when it cannot be.
void png_write_grid(const char *path, const float *samples, int count, int channels, int size, int columns);

// One sample, and no pixels around it.
void png_write_one(const char *path, const float *sample, int channels, int size);

#endif
