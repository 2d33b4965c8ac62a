#include "common/idx.h"
#include "common/testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#define HEAD "\0\0\x08\x03\0\0\0\2\0\0\0\2\0\0\0\3" // two images of 2 x 3
static const uint8_t good[] = HEAD "\1\2\3\4\5\6\7\x08\x09\x0a\x0b\xff";
#define GOOD_SIZE 28

static void load(void *path)
{
	struct images set = idx_load(path);
	images_fini(&set);
}

static void load_dir(void *path)
{
	struct images set = idx_load_dir(path, 0);
	images_fini(&set);
}

static void check_good(struct images set)
{
	assert_int_equal(set.count, 2);
	assert_int_equal(set.channels, 1);
	assert_int_equal(set.height, 2);
	assert_int_equal(set.width, 3);
	assert_memory_equal(set.pixels, good + 16, 12);
	images_fini(&set);
}

static char *write_gz(const char *folder, const char *name, const void *data, size_t size)
{
	char *path = testing_path(folder, name);
	gzFile f = gzopen(path, "wb");
	assert_int_equal(gzwrite(f, data, (unsigned)size), size);
	assert_int_equal(gzclose(f), Z_OK);
	return path;
}

static void test_good(void **state)
{
	(void)state;
	char *folder = testing_folder();
	char *plain = testing_file(folder, "train-images-idx3-ubyte", good, GOOD_SIZE);
	char *gz = write_gz(folder, "t10k-images-idx3-ubyte.gz", good, GOOD_SIZE);
	check_good(idx_load(plain));
	check_good(idx_load(gz));
	check_good(idx_load_dir(folder, 0));
	check_good(idx_load_dir(folder, 1));
	free(plain);
	free(gz);
	testing_remove(folder);
}

static void dies_with(const char *folder, const void *data, size_t size, const char *words)
{
	char *path = testing_file(folder, "bad", data, size);
	testing_dies(load, path, words);
	testing_dies(load, path, path); // the file is named
	free(path);
}

static void test_bad(void **state)
{
	(void)state;
	char *folder = testing_folder();
	dies_with(folder, good, 0, "ends after 0 bytes");
	for (size_t size = 1; size < GOOD_SIZE; size++)
		dies_with(folder, good, size, "ends after");
	dies_with(folder, "\0\0\x08\x01\0\0\0\2\5\5", 10, "starts with 0x00000801, expected 0x00000803");
	dies_with(folder, "\x1f\x8b garbage that is no gzip", 26, "bad");
	dies_with(folder, good, GOOD_SIZE + 1, "goes on after its 2 images"); // the literal's own zero byte
	static const char *const heads[] = {
		"\0\0\x08\x03\0\0\0\0\0\0\0\2\0\0\0\3",             // no images
		"\0\0\x08\x03\0\0\0\1\0\0\0\0\0\0\0\3",             // no height
		"\0\0\x08\x03\0\0\0\1\0\0\0\2\xff\xff\xff\xff",     // absurd width
		"\0\0\x08\x03\xff\xff\xff\xff\0\0\x10\0\0\0\x10\0", // absurd total
		"\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
	};
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
		dies_with(folder, heads[i], 16, "claims");
	dies_with(folder, "\0\0\x08\x03\0\x03\0\0\0\0\0\xff\0\0\0\xff", 16,
		"ends after 0 bytes"); // 12 GB claimed: not allocated first
	testing_remove(folder);
}

static void test_damaged_gz(void **state)
{
	(void)state;
	char *folder = testing_folder();
	char *path = write_gz(folder, "whole.gz", good, GOOD_SIZE);
	uint8_t bytes[256];
	FILE *f = fopen(path, "rb");
	size_t size = fread(bytes, 1, sizeof bytes, f);
	fclose(f);
	for (size_t cut = 1; cut < size; cut++) {
		char *bad = testing_file(folder, "cut.gz", bytes, cut);
		testing_dies(load, bad, "cut.gz");
		free(bad);
	}
	bytes[size - 6] ^= 1; // its checksum
	char *bad = testing_file(folder, "checksum.gz", bytes, size);
	testing_dies(load, bad, "incorrect data check");
	free(bad);
	free(path);
	testing_remove(folder);
}

static void test_missing(void **state)
{
	(void)state;
	char *folder = testing_folder();
	testing_dies(load_dir, folder, "has neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz");
	testing_dies(load, folder, folder); // a folder where a file should be
	testing_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
		cmocka_unit_test(test_damaged_gz), cmocka_unit_test(test_missing)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
