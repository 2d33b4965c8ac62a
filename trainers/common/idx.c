#include "common/idx.h"

#include "common/die.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#define MAGIC_IMAGES 0x803 // unsigned bytes, three dimensions
#define MAX_EDGE 4096
#define MAX_BYTES ((size_t)1 << 34)

// Exactly SIZE bytes, in pieces, because gzread takes an unsigned int.
static void read_exactly(gzFile file, const char *path, void *out, size_t size)
{
	for (size_t done = 0; done < size;) {
		size_t piece = size - done < (1u << 28) ? size - done : 1u << 28;
		int n = gzread(file, (char *)out + done, (unsigned)piece);
		int code;
		if (n < 0)
			die("%s: %s", path, gzerror(file, &code));
		if (n == 0)
			die("%s: ends after %zu bytes of a part of %zu", path, done, size);
		done += (size_t)n;
	}
}

static uint32_t read_number(gzFile file, const char *path)
{
	unsigned char b[4];
	read_exactly(file, path, b, 4);
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

// The header may claim anything: the memory grows with what is really there, so a small file cannot ask for a large allocation.
static uint8_t *read_pixels(gzFile file, const char *path, size_t total)
{
	uint8_t *pixels = NULL;
	size_t have = 0, room = (size_t)1 << 24;
	while (have < total) {
		room = room < total ? room : total;
		pixels = mem_grow(pixels, room, 1);
		read_exactly(file, path, pixels + have, room - have);
		have = room;
		room *= 2;
	}
	return pixels;
}

struct images idx_load(const char *path)
{
	gzFile file = gzopen(path, "rb"); // reads plain files too
	if (!file)
		die("%s: cannot open", path);
	uint32_t magic = read_number(file, path);
	if (magic != MAGIC_IMAGES)
		die("%s: starts with 0x%08x, expected 0x%08x (IDX, bytes, three dimensions)", path, magic, MAGIC_IMAGES);
	uint32_t count = read_number(file, path), height = read_number(file, path), width = read_number(file, path);
	if (count == 0 || height == 0 || width == 0 || height > MAX_EDGE || width > MAX_EDGE || count > MAX_BYTES / height / width)
		die("%s: claims %u images of %u x %u, expected at least one, edges of at most %d", path, count, width, height, MAX_EDGE);
	struct images set = {.count = count, .channels = 1, .height = (int)height, .width = (int)width};
	set.pixels = read_pixels(file, path, (size_t)count * height * width);
	char more;
	if (gzread(file, &more, 1) != 0) // reads the end of a gzip stream too, and so its checksum
		die("%s: goes on after its %u images, or is damaged", path, count);
	int status = gzclose(file);
	if (status != Z_OK)
		die("%s: damaged (zlib says %d)", path, status);
	return set;
}

struct images idx_load_dir(const char *dir, int test)
{
	const char *name = test ? "t10k-images-idx3-ubyte" : "train-images-idx3-ubyte";
	const char *ends[] = {"", ".gz"};
	for (int i = 0; i < 2; i++) {
		char *path;
		if (asprintf(&path, "%s/%s%s", dir, name, ends[i]) < 0)
			die("out of memory");
		if (access(path, F_OK) == 0) {
			struct images set = idx_load(path);
			free(path);
			return set;
		}
		free(path);
	}
	die("%s: has neither %s nor %s.gz", dir, name, name);
}
