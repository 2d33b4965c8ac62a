// Decoders and the folder reader, on files that are written here with the same libraries, and on damaged ones.
#include "common/folder.h"
#include "common/image.h"
#include "common/testing.h"

#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
// clang-format off
#include <jpeglib.h> // needs stdio.h before it
// clang-format on

#define W 16
#define H 8

// Left half and right half of two colours.
static const uint8_t colour[2][3] = {{200, 40, 90}, {20, 180, 230}};

static void write_png(const char *path, png_uint_32 format)
{
	uint8_t pixels[H * W * 4];
	png_image image = {.version = PNG_IMAGE_VERSION, .width = W, .height = H, .format = format};
	int channels = (int)PNG_IMAGE_SAMPLE_CHANNELS(format);
	for (int i = 0; i < H * W; i++)
		for (int c = 0; c < channels; c++)
			pixels[i * channels + c] = c == 3 ? 10 : colour[i % W >= W / 2][c]; // nearly transparent
	assert_true(png_image_write_to_file(&image, path, 0, pixels, 0, NULL));
}

static void write_jpeg(const char *path)
{
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr e;
	FILE *file = fopen(path, "wb");
	c.err = jpeg_std_error(&e);
	jpeg_create_compress(&c);
	jpeg_stdio_dest(&c, file);
	c.image_width = W;
	c.image_height = H;
	c.input_components = 3;
	c.in_color_space = JCS_RGB;
	jpeg_set_defaults(&c);
	jpeg_set_quality(&c, 100, TRUE);
	jpeg_start_compress(&c, TRUE);
	uint8_t line[W * 3], *row = line;
	for (int x = 0; x < W; x++)
		memcpy(line + 3 * x, colour[x >= W / 2], 3);
	for (int y = 0; y < H; y++)
		jpeg_write_scanlines(&c, &row, 1);
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	fclose(file);
}

static void check_colours(const struct images *set, int grey, int tolerance)
{
	assert_int_equal(set->count, 1);
	assert_int_equal(set->channels, 3);
	assert_int_equal(set->width, W);
	assert_int_equal(set->height, H);
	for (int c = 0; c < 3; c++)
		for (int i = 0; i < H * W; i++) {
			int off = set->pixels[c * H * W + i] - colour[i % W >= W / 2][grey ? 0 : c];
			if (tolerance == 0 || abs(i % W - W / 2) > 2) // JPEG blurs the colours of an edge
				assert_true(abs(off) <= tolerance);
		}
}

static void test_decode(void **state)
{
	(void)state;
	static const png_uint_32 formats[] = {PNG_FORMAT_RGB, PNG_FORMAT_RGBA, PNG_FORMAT_GRAY};
	char *folder = testing_folder(), *path = testing_path(folder, "a.png");
	for (int i = 0; i < 3; i++) {
		write_png(path, formats[i]);
		struct images set = image_load(path);
		check_colours(&set, formats[i] == PNG_FORMAT_GRAY, 0);
		images_fini(&set);
	}
	write_jpeg(path); // by its bytes, not by its name
	struct images set = image_load(path);
	check_colours(&set, 0, 3);
	images_fini(&set);
	free(path);
	testing_remove(folder);
}

static void load(void *path)
{
	struct images set = image_load(path);
	images_fini(&set);
}

// Cut at every byte: death with the name of the file.
static void damage(const char *folder, const char *whole)
{
	uint8_t bytes[4096];
	FILE *file = fopen(whole, "rb");
	size_t size = fread(bytes, 1, sizeof bytes, file);
	fclose(file);
	assert_in_range(size, 1, sizeof bytes - 1);
	for (size_t cut = 0; cut < size; cut++) {
		char *bad = testing_file(folder, "cut", bytes, cut);
		testing_dies(load, bad, "cut: ");
		free(bad);
	}
}

static void test_damaged(void **state)
{
	(void)state;
	char *folder = testing_folder(), *png = testing_path(folder, "a.png"), *jpeg = testing_path(folder, "a.jpg");
	write_png(png, PNG_FORMAT_RGB);
	write_jpeg(jpeg);
	damage(folder, png);
	damage(folder, jpeg);
	free(png);
	free(jpeg);
	testing_remove(folder);
}

static void test_absurd(void **state)
{
	(void)state;
	// A PNG whose header (with the right checksum) claims 100,000,000 x 100,000,000 pixels.
	static const uint8_t png[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x05\xf5\xe1\0\x05\xf5\xe1\0\x08\x02\0\0\0\x4c\x5d"
				     "\x2a\x51\0\0\0\0IDAT\x35\xaf\x06\x1e";
	char *folder = testing_folder(), *path = testing_file(folder, "huge.png", png, sizeof png - 1);
	testing_dies(load, path, "huge.png: ");
	free(path);
	path = testing_file(folder, "text.png", "hello", 5);
	testing_dies(load, path, "neither PNG nor JPEG");
	free(path);
	testing_dies(load, "/no/such/file.png", "No such file");
	testing_remove(folder);
}

static void load_folder(void *path)
{
	struct images set = folder_load(path, 16);
	images_fini(&set);
}

static void test_folder(void **state)
{
	(void)state;
	char *folder = testing_folder();
	const char *const made[] = {"b", "b/deeper", "a", "empty"};
	for (int i = 0; i < 4; i++) {
		char *sub = testing_path(folder, made[i]);
		assert_int_equal(mkdir(sub, 0777), 0);
		free(sub);
	}
	testing_dies(load_folder, folder, "no .png, .jpg or .jpeg file");
	char *paths[] = {testing_path(folder, "b/deeper/2.PNG"), testing_path(folder, "a/1.jpeg"),
		testing_path(folder, "z.jpg"), testing_path(folder, "a/notes.txt")};
	write_png(paths[0], PNG_FORMAT_RGBA);
	write_jpeg(paths[1]);
	write_jpeg(paths[2]);
	free(testing_file(folder, "a/notes.txt", "x", 1));
	struct images set = folder_load(folder, 16);
	assert_int_equal(set.count, 3);
	assert_int_equal(set.channels, 3);
	assert_int_equal(set.width, 16);
	assert_int_equal(set.height, 16);
	// 16 x 8 becomes 32 x 16, of which the middle 16 columns stay: both colours. The PNG is the second of a/, b/,
	// z.
	const uint8_t *png = set.pixels + images_bytes(&set);
	assert_int_equal(png[0], colour[0][0]);
	assert_int_equal(png[15], colour[1][0]);
	images_fini(&set);
	for (int i = 0; i < 4; i++)
		free(paths[i]);
	char *loop = testing_path(folder, "a/loop");
	assert_int_equal(symlink(folder, loop), 0);
	testing_dies(load_folder, folder, "folders deep");
	free(loop);
	testing_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_decode), cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_absurd), cmocka_unit_test(test_folder)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
