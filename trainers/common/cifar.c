#include "common/cifar.h"

#include "common/die.h"
#include "common/mem.h"
#include "common/pickle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILE ((off_t)1 << 28) // the real ones have 31 MB

struct bytes {
	uint8_t *data;
	size_t size;
};

static struct bytes read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	if (!file || fstat(fileno(file), &st) < 0)
		die("%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > MAX_FILE)
		die("%s: expected a file of 1 to %lld bytes", path, (long long)MAX_FILE);
	struct bytes b = {.size = (size_t)st.st_size};
	b.data = mem_new(b.size, 1);
	if (fread(b.data, 1, b.size, file) != b.size)
		die("%s: cannot read its %zu bytes", path, b.size);
	fclose(file);
	return b;
}

static uint8_t *append(struct images *set, size_t count)
{
	set->pixels = mem_grow(set->pixels, set->count + count, CIFAR_BYTES);
	uint8_t *at = set->pixels + set->count * CIFAR_BYTES;
	set->count += count;
	return at;
}

// Records of one label byte and the three planes.
static void add_binary(struct images *set, const char *path)
{
	const size_t record = 1 + CIFAR_BYTES;
	struct bytes b = read_file(path);
	if (b.size % record)
		die("%s: %zu bytes is not a multiple of %zu (a label and 3 planes of 32 x 32)", path, b.size, record);
	uint8_t *out = append(set, b.size / record);
	for (size_t i = 0; i < b.size / record; i++) {
		if (b.data[i * record] > 9)
			die("%s: record %zu has label %d, expected 0 to 9", path, i, b.data[i * record]);
		memcpy(out + i * CIFAR_BYTES, b.data + i * record + 1, CIFAR_BYTES);
	}
	free(b.data);
}

// A dictionary whose "data" is a numpy array of bytes, one row of three planes an image.
static void add_python(struct images *set, const char *path)
{
	struct bytes b = read_file(path);
	struct pickle *p = pickle_parse(path, b.data, b.size);
	struct pickle_array a;
	pickle_find_array(p, "data", &a);
	if (a.dims != 2 || a.dim[1] != CIFAR_BYTES || a.dim[0] < 1)
		die("%s: \"data\" has %d dimensions, the last of %zu, expected images x %d", path, a.dims,
			a.dims ? a.dim[a.dims - 1] : 0, CIFAR_BYTES);
	memcpy(append(set, a.dim[0]), a.data, a.dim[0] * CIFAR_BYTES); // pickle_find_array promises that many
	pickle_free(p);
	free(b.data);
}

static int is_there(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0;
}

static void add_batch(struct images *set, const char *dir, const char *name)
{
	char *python, *binary;
	if (asprintf(&python, "%s/%s", dir, name) < 0 || asprintf(&binary, "%s/%s.bin", dir, name) < 0)
		die("out of memory");
	if (is_there(binary))
		add_binary(set, binary);
	else if (is_there(python))
		add_python(set, python);
	free(python);
	free(binary);
}

struct images cifar_load_dir(const char *dir, int test)
{
	struct images set = {.channels = 3, .height = CIFAR_EDGE, .width = CIFAR_EDGE};
	char name[32];
	for (int i = 1; i <= (test ? 1 : 5); i++) {
		snprintf(name, sizeof name, test ? "test_batch" : "data_batch_%d", i);
		add_batch(&set, dir, name);
	}
	if (set.count == 0)
		die("%s: no CIFAR-10 batch there: expected %s[.bin]", dir,
			test ? "test_batch" : "data_batch_1 to data_batch_5");
	return set;
}
