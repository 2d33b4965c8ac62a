#include "common/image.h"

#include "common/die.h"
#include "common/mem.h"

#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// clang-format off
#include <jpeglib.h> // needs stdio.h before it
// clang-format on

size_t images_bytes(const struct images *set)
{
	return (size_t)set->channels * (size_t)set->height * (size_t)set->width;
}

struct images images_new(size_t count, int channels, int height, int width)
{
	struct images set = {.count = count, .channels = channels, .height = height, .width = width};
	set.pixels = mem_new(count, images_bytes(&set));
	return set;
}

void images_fini(struct images *set)
{
	free(set->pixels);
	*set = (struct images){0};
}

static struct images sized(const char *path, unsigned long width, unsigned long height)
{
	if (width == 0 || height == 0 || width > IMAGE_MAX_PIXELS / height)
		die("%s: %lu x %lu pixels, expected at least 1 and at most %d in all", path, width, height,
			IMAGE_MAX_PIXELS);
	return images_new(1, 3, (int)height, (int)width);
}

// From a row of RGB triples to the three planes.
static void put_row(struct images *set, int y, const uint8_t *rgb)
{
	size_t plane = (size_t)set->height * (size_t)set->width;
	uint8_t *out = set->pixels + (size_t)y * (size_t)set->width;
	for (int x = 0; x < set->width; x++)
		for (int c = 0; c < 3; c++)
			out[(size_t)c * plane + (size_t)x] = rgb[3 * x + c];
}

// ---- PNG. The library wants an error handler that does not return; one that dies needs no longjmp.

__attribute__((noreturn)) static void png_error_dies(png_structp png, png_const_charp text)
{
	die("%s: PNG: %s", (const char *)png_get_error_ptr(png), text);
}

static void png_warning_is_silent(png_structp png, png_const_charp text)
{
	(void)png; // odd colour profiles and the like; the pixels are good
	(void)text;
}

static void png_to_rgb8(png_structp png, png_infop info)
{
	png_set_expand(png);
	png_set_strip_16(png);
	png_set_gray_to_rgb(png);
	png_set_strip_alpha(png);
	png_set_interlace_handling(png);
	png_read_update_info(png, info);
}

static struct images load_png(const char *path, FILE *file)
{
	png_structp png =
		png_create_read_struct(PNG_LIBPNG_VER_STRING, (void *)path, png_error_dies, png_warning_is_silent);
	png_infop info = png ? png_create_info_struct(png) : NULL;
	if (!info)
		die("%s: out of memory", path);
	png_set_user_limits(
		png, IMAGE_MAX_PIXELS, IMAGE_MAX_PIXELS); // sized() says it better than the library's million
	png_init_io(png, file);
	png_read_info(png, info);
	struct images set = sized(path, png_get_image_width(png, info), png_get_image_height(png, info));
	png_to_rgb8(png, info);
	if (png_get_rowbytes(png, info) != (size_t)set.width * 3)
		die("%s: PNG: %zu bytes a row, expected %d", path, (size_t)png_get_rowbytes(png, info), set.width * 3);

	uint8_t *all = mem_new((size_t)set.height, (size_t)set.width * 3);
	png_bytep *rows = mem_new((size_t)set.height, sizeof *rows);
	for (int y = 0; y < set.height; y++)
		rows[y] = all + (size_t)y * (size_t)set.width * 3;
	png_read_image(png, rows);
	png_read_end(png, NULL); // so that a file cut off after the last row does not pass
	for (int y = 0; y < set.height; y++)
		put_row(&set, y, rows[y]);
	free(rows);
	free(all);
	png_destroy_read_struct(&png, &info, NULL);
	return set;
}

// ---- JPEG

__attribute__((noreturn)) static void jpeg_error_dies(j_common_ptr jpeg)
{
	char text[JMSG_LENGTH_MAX];
	jpeg->err->format_message(jpeg, text);
	die("%s: JPEG: %s", (const char *)jpeg->client_data, text);
}

// Warnings (level -1) are about damaged data, which the library would fill with grey.
static void jpeg_message(j_common_ptr jpeg, int level)
{
	if (level < 0)
		jpeg_error_dies(jpeg);
}

static struct images load_jpeg(const char *path, FILE *file)
{
	struct jpeg_decompress_struct jpeg = {0};
	struct jpeg_error_mgr errors;
	jpeg.err = jpeg_std_error(&errors);
	errors.error_exit = jpeg_error_dies;
	errors.emit_message = jpeg_message;
	jpeg.client_data = (void *)path;
	jpeg_create_decompress(&jpeg);
	jpeg_stdio_src(&jpeg, file);
	jpeg_read_header(&jpeg, TRUE);
	jpeg.out_color_space = JCS_RGB;
	struct images set = sized(path, jpeg.image_width, jpeg.image_height);
	jpeg_start_decompress(&jpeg);
	uint8_t *row = mem_new((size_t)set.width, 3);
	for (int y = 0; y < set.height; y++) {
		if (jpeg_read_scanlines(&jpeg, &row, 1) != 1)
			die("%s: JPEG: no row %d of %d", path, y, set.height);
		put_row(&set, y, row);
	}
	free(row);
	jpeg_finish_decompress(&jpeg);
	jpeg_destroy_decompress(&jpeg);
	return set;
}

struct images image_load(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		die("%s: %s", path, strerror(errno));
	unsigned char first[8] = {0};
	size_t n = fread(first, 1, sizeof first, file);
	rewind(file);
	struct images set;
	if (n == 8 && png_sig_cmp(first, 0, 8) == 0)
		set = load_png(path, file);
	else if (n >= 3 && memcmp(first, "\xff\xd8\xff", 3) == 0)
		set = load_jpeg(path, file);
	else
		die("%s: neither PNG nor JPEG", path);
	fclose(file);
	return set;
}
