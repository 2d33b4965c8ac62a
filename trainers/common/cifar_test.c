// CIFAR-10 in both layouts, made by hand the way the original files are (those that python3 pickles are tested in
// tests/trainers).
#include "common/cifar.h"
#include "common/mem.h"
#include "common/testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define IMAGES 2
#define RECORD (1 + CIFAR_BYTES)

static uint8_t sample(int image, int at)
{
	return (uint8_t)(image * 99 + at * 7 + at / 300);
}

static void fill(uint8_t *out, int image)
{
	for (int i = 0; i < CIFAR_BYTES; i++)
		out[i] = sample(image, i);
}

struct buffer {
	uint8_t bytes[IMAGES * RECORD + 1024];
	size_t size;
};

static void put(struct buffer *b, const void *bytes, size_t size)
{
	memcpy(b->bytes + b->size, bytes, size);
	b->size += size;
}

#define PUT(b, literal) put(b, literal, sizeof literal - 1)

// As Python 2 wrote data_batch_1: {'batch_label': ..., 'labels': [...], 'data': array of bytes, 'filenames': [...]},
// protocol 2.
static struct buffer python_batch(const char *rows)
{
	struct buffer b = {.size = 0};
	PUT(&b, "\x80\x02}q\x01(U\x0b"
		"batch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(K\x06K\x09"
		"e");
	PUT(&b, "U\x04"
		"dataq\x06"
		"cnumpy.core.multiarray\n_reconstruct\nq\x07"
		"cnumpy\nndarray\nq\x08K\0\x85U\x01"
		"b\x87Rq\x09(K\x01");
	put(&b, rows, strlen(rows));
	PUT(&b, "M\0\x0c\x86"
		"cnumpy\ndtype\nq\x0aU\x02u1K\0K\x01\x87Rq\x0b(K\x03U\x01|"
		"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89T\0\x18\0\0");
	for (int i = 0; i < IMAGES; i++) {
		fill(b.bytes + b.size, i);
		b.size += CIFAR_BYTES;
	}
	PUT(&b, "tbU\x09"
		"filenamesq\x0c]q\x0d(U\x05"
		"1.pngq\x0eU\x05"
		"2.pngq\x0f"
		"eu.");
	return b;
}

static struct buffer binary_batch(void)
{
	struct buffer b = {.size = IMAGES * RECORD};
	for (int i = 0; i < IMAGES; i++) {
		b.bytes[i * RECORD] = (uint8_t)(9 - i);
		fill(b.bytes + i * RECORD + 1, i);
	}
	return b;
}

static void check_images(const struct images *set, size_t count)
{
	assert_int_equal(set->count, count);
	assert_int_equal(set->channels, 3);
	assert_int_equal(set->height, 32);
	assert_int_equal(set->width, 32);
	for (size_t i = 0; i < count; i++)
		for (int k = 0; k < CIFAR_BYTES; k++)
			assert_int_equal(set->pixels[i * CIFAR_BYTES + (size_t)k], sample((int)i % IMAGES, k));
}

static void test_good(void **state)
{
	(void)state;
	char *folder = testing_folder();
	struct buffer python = python_batch("K\x02"), binary = binary_batch();
	free(testing_file(folder, "data_batch_1", python.bytes, python.size));
	free(testing_file(folder, "data_batch_4.bin", binary.bytes, binary.size));
	free(testing_file(folder, "test_batch", python.bytes, python.size));
	struct images set = cifar_load_dir(folder, 0);
	check_images(&set, 4);
	images_fini(&set);
	set = cifar_load_dir(folder, 1);
	check_images(&set, 2);
	images_fini(&set);
	testing_remove(folder);
}

static void load(void *folder)
{
	struct images set = cifar_load_dir(folder, 0);
	images_fini(&set);
}

static void dies_with(char *folder, const char *name, const void *bytes, size_t size, const char *words)
{
	char *path = testing_file(folder, name, bytes, size);
	testing_dies(load, folder, words);
	testing_dies(load, folder, path);
	unlink(path);
	free(path);
}

static void test_bad_binary(void **state)
{
	(void)state;
	char *folder = testing_folder();
	struct buffer b = binary_batch();
	testing_dies(load, folder, "no CIFAR-10 batch there");
	dies_with(folder, "data_batch_1.bin", b.bytes, b.size - 1, "not a multiple of 3073");
	dies_with(folder, "data_batch_1.bin", b.bytes, 0, "expected a file of 1 to");
	b.bytes[RECORD] = 10;
	dies_with(folder, "data_batch_1.bin", b.bytes, b.size, "record 1 has label 10");
	testing_remove(folder);
}

static void test_bad_python(void **state)
{
	(void)state;
	char *folder = testing_folder();
	static const struct {
		const char *bytes;
		size_t size;
		const char *words;
	} cases[] = {
#define CASE(literal, words) {literal, sizeof literal - 1, words}
		CASE("hello, I am no pickle", "not a pickle of protocol 2"),
		CASE("\x80\x04}.", "not a pickle of protocol 2"),
		CASE("\x80\x02", "1 bytes wanted, 0 left"),
		CASE("\x80\x02.", "nothing on the stack"),
		CASE("\x80\x02}.", "has no \"data\""),
		CASE("\x80\x02].", "no dictionary"),
		CASE("\x80\x02}(u}u.", "no mark"),
		CASE("\x80\x02}(K\x01u.", "items for what is no dictionary"),
		CASE("\x80\x02K\x01K\x02"
		     "a.",
			"items for what is no list"),
		CASE("\x80\x02(.", "nothing on the stack"),
		CASE("\x80\x02(q\0.", "nothing on the stack"),
		CASE("\x80\x02(\x85.", "nothing on the stack"),
		CASE("\x80\x02h\x05.", "memo 5 was never put"),
		CASE("\x80\x02}r\xff\xff\xff\xff.", "memo 4294967295"),
		CASE("\x80\x02T\xff\xff\xff\xffzz.", "4294967295 bytes wanted, 3 left"),
		CASE("\x80\x02"
		     "cos\nsystem",
			"a name without an end"),
		CASE("\x80\x02"
		     "cos\nsystem\nU\x04true\x85R.",
			"no dictionary"), // not called: an object without meaning
		CASE("\x80\x02"
		     "cos\nsystem\nNR.",
			"a call without arguments"),
		CASE("\x80\x02"
		     "c_codecs\nencode\n(X\x02\0\0\0\xc3\x28X\x06\0\0\0latin1tR.",
			"not latin1"),
		CASE("\x80\x02"
		     "c_codecs\nencode\n(X\x01\0\0\0\xc3X\x06\0\0\0latin1tR.",
			"not latin1"),
		CASE("\x80\x02"
		     "c_codecs\nencode\n(X\x02\0\0\0\xc4\x80X\x06\0\0\0latin1tR.",
			"not latin1"),
		CASE("\x80\x02(U\x01"
		     "ai__main__\nfoo\n.",
			"opcode 0x69"),
		CASE("\x80\x02\x8a\x09\1\1\1\1\1\1\1\1\1.", "a number of 9 bytes"),
		CASE("\x80\x02}U\x04"
		     "dataK\x05s.",
			"\"data\" is no numpy array"),
		CASE("\x80\x02}U\x04"
		     "data"
		     "cnumpy.core.multiarray\n_reconstruct\n)Rs.",
			"\"data\" is no numpy array"),
		CASE("\x80\x02}U\x04"
		     "data"
		     "cnumpy.core.multiarray\n_reconstruct\n)RK\x01"
		     "bs.",
			"no tuple of 5"),
		CASE("\x80\x02}U\x04"
		     "data"
		     "cnumpy.core.multiarray\n_reconstruct\n)R(NNNNNtbs.",
			"\"data\" is no numpy array"),
		CASE("\x80\x02}U\x04"
		     "data"
		     "cnumpy.core.multiarray\n_reconstruct\n)R(K\1)N\x89U\0tbs.",
			"no array of bytes"),
#undef CASE
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		dies_with(folder, "data_batch_1", cases[i].bytes, cases[i].size, cases[i].words);
	testing_remove(folder);
}

// Arrays whose shape is not what their bytes are.
static void test_bad_shapes(void **state)
{
	(void)state;
	char *folder = testing_folder();
	static const struct {
		const char *rows, *words;
	} cases[] = {
		{"K\x01", "has 6144 bytes, its shape wants 3072"},
		{"K\x03", "has 6144 bytes, its shape wants 9216"},
		{"J\xff\xff\xff\xff", "impossible shape"},
		{"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", "impossible shape"}, // times 3072 is more than 64 bits
		{"N", "impossible shape"},
		{"U\x01x", "impossible shape"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buffer b = python_batch(cases[i].rows);
		dies_with(folder, "data_batch_1", b.bytes, b.size, cases[i].words);
	}
	struct buffer b = python_batch("K\x02");
	memcpy(memmem(b.bytes, b.size, "u1K", 3), "u2", 2);
	dies_with(folder, "data_batch_1", b.bytes, b.size, "no array of bytes");
	b = python_batch("K\x02");
	*(uint8_t *)memmem(b.bytes, b.size, "\x89T", 2) = 0x88;
	dies_with(folder, "data_batch_1", b.bytes, b.size, "C order");
	testing_remove(folder);
}

// In a child: it may die by die(), or find the file good, but not by a signal (nor by a sanitizer).
static void survives(char *folder, const uint8_t *bytes, size_t size)
{
	char *path = testing_file(folder, "data_batch_1", bytes, size);
	pid_t pid = fork();
	if (pid == 0) {
		close(2);
		load(folder);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
		fail_msg("status 0x%x", (unsigned)status);
	free(path);
}

static void test_damaged(void **state)
{
	(void)state;
	char *folder = testing_folder();
	struct buffer whole = python_batch("K\x02");
	size_t head = whole.size - IMAGES * CIFAR_BYTES - 50; // where the bytes of the images begin, about
	for (size_t cut = 0; cut < head; cut++)
		survives(folder, whole.bytes, cut);
	static const uint8_t values[] = {0, '(', 0xff};
	for (size_t at = 0; at < whole.size; at = at == head + 20 ? whole.size - 50 : at + 1)
		for (size_t k = 0; k < sizeof values; k++) {
			struct buffer b = whole;
			b.bytes[at] = values[k];
			survives(folder, b.bytes, b.size);
		}
	testing_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad_binary),
		cmocka_unit_test(test_bad_python), cmocka_unit_test(test_bad_shapes), cmocka_unit_test(test_damaged)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
