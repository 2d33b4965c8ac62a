#include "common/png.h"

#include "common/die.h"
#include "common/mem.h"

#include <errno.h>
#include <png.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2

struct grid {
	int width, height, channels;
	uint8_t *pixels; // [height][width][channels]
};

static uint8_t level(float x)
{
	float v = (x + 1) * 127.5f + 0.5f;
	return v >= 255 ? 255 : v > 0 ? (uint8_t)v : 0; // a NaN becomes 0
}

static struct grid grid_make(const float *samples, int count, int channels, int size, int columns, int gap)
{
	int across = count < columns ? count : columns, down = (count + columns - 1) / columns;
	struct grid g = {
		.width = across * (size + gap) + gap, .height = down * (size + gap) + gap, .channels = channels};
	g.pixels = mem_new((size_t)g.width * (size_t)g.height, (size_t)channels);
	for (int i = 0; i < count; i++) {
		int left = i % columns * (size + gap) + gap, top = i / columns * (size + gap) + gap;
		for (int y = 0; y < size; y++)
			for (int x = 0; x < size; x++)
				for (int c = 0; c < channels; c++, samples++)
					g.pixels[((size_t)(top + y) * (size_t)g.width + (size_t)(left + x)) *
							 (size_t)channels +
						 (size_t)c] = level(*samples);
	}
	return g;
}

__attribute__((noreturn)) static void error_dies(png_structp png, png_const_charp text)
{
	die("%s: cannot write PNG: %s", (const char *)png_get_error_ptr(png), text);
}

static void grid_write(const struct grid *g, const char *path, FILE *file)
{
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, (void *)path, error_dies, NULL);
	png_infop info = png ? png_create_info_struct(png) : NULL;
	if (!info)
		die("%s: out of memory", path);
	png_init_io(png, file);
	png_set_IHDR(png, info, (png_uint_32)g->width, (png_uint_32)g->height, 8,
		g->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
		PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, info);
	for (int y = 0; y < g->height; y++)
		png_write_row(png, g->pixels + (size_t)y * (size_t)g->width * (size_t)g->channels);
	png_write_end(png, NULL);
	png_destroy_write_struct(&png, &info);
}

static void write_beside(const struct grid *g, const char *path)
{
	char *beside;
	if (asprintf(&beside, "%s.tmp", path) < 0)
		die("out of memory");
	FILE *file = fopen(beside, "wb");
	if (!file)
		die("%s: %s", beside, strerror(errno));
	grid_write(g, beside, file);
	if (fclose(file) != 0 || rename(beside, path) != 0)
		die("%s: %s", path, strerror(errno));
	free(beside);
}

void png_write_grid(const char *path, const float *samples, int count, int channels, int size, int columns)
{
	struct grid g = grid_make(samples, count, channels, size, columns, GAP);
	write_beside(&g, path);
	free(g.pixels);
}

void png_write_one(const char *path, const float *sample, int channels, int size)
{
	struct grid g = grid_make(sample, 1, channels, size, 1, 0);
	write_beside(&g, path);
	free(g.pixels);
}
