#include "common/idx.h"

#include "common/die.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define MAGIC_IMAGES 0x803 // unsigned bytes, three dimensions
#define MAGIC_LABELS 0x801 // one dimension
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

// The header may claim anything: the memory grows with what is really there, so a small file cannot ask for a large
// allocation.
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

static gzFile open_file(const char *path, uint32_t expected, const char *what)
{
	gzFile file = gzopen(path, "rb"); // reads plain files too
	if (!file)
		die("%s: cannot open", path);
	uint32_t magic = read_number(file, path);
	if (magic != expected)
		die("%s: starts with 0x%08x, expected 0x%08x (IDX, bytes, %s)", path, magic, expected, what);
	return file;
}

static void close_file(gzFile file, const char *path, size_t count, const char *what)
{
	char more;
	if (gzread(file, &more, 1) != 0) // reads the end of a gzip stream too, and so its checksum
		die("%s: goes on after its %zu %s, or is damaged", path, count, what);
	int status = gzclose(file);
	if (status != Z_OK)
		die("%s: damaged (zlib says %d)", path, status);
}

// Takes PATH.
static void open_reader(struct idx_reader *r, char *path)
{
	gzFile file = open_file(path, MAGIC_IMAGES, "three dimensions");
	uint32_t count = read_number(file, path), height = read_number(file, path), width = read_number(file, path);
	if (count == 0 || height == 0 || width == 0 || height > MAX_EDGE || width > MAX_EDGE ||
		count > MAX_BYTES / height / width)
		die("%s: claims %u images of %u x %u, expected at least one, edges of at most %d", path, count, width,
			height, MAX_EDGE);
	*r = (struct idx_reader){.path = path, .file = file, .count = count, .height = height, .width = width};
}

void idx_close(struct idx_reader *r)
{
	if (r->file)
		gzclose(r->file);
	free(r->path);
	*r = (struct idx_reader){0};
}

void idx_read(struct idx_reader *r, uint8_t *out, size_t count)
{
	read_exactly(r->file, r->path, out, count * r->height * r->width);
	r->done += count;
	if (r->done < r->count)
		return;
	close_file(r->file, r->path, r->count, "images");
	r->file = NULL;
}

struct images idx_load(const char *path)
{
	char *own = strdup(path);
	if (!own)
		die("out of memory");
	struct idx_reader r;
	open_reader(&r, own);
	struct images set = {.count = r.count, .channels = 1, .height = (int)r.height, .width = (int)r.width};
	set.pixels = read_pixels(r.file, path, r.count * r.height * r.width);
	close_file(r.file, path, r.count, "images");
	r.file = NULL;
	idx_close(&r);
	return set;
}

// DIR/NAME or DIR/NAME.gz. Caller frees.
static char *find(const char *dir, const char *name)
{
	const char *ends[] = {"", ".gz"};
	for (int i = 0; i < 2; i++) {
		char *path;
		if (asprintf(&path, "%s/%s%s", dir, name, ends[i]) < 0)
			die("out of memory");
		if (access(path, F_OK) == 0)
			return path;
		free(path);
	}
	die("%s: has neither %s nor %s.gz", dir, name, name);
}

static char *find_images(const char *dir, int test)
{
	return find(dir, test ? "t10k-images-idx3-ubyte" : "train-images-idx3-ubyte");
}

struct images idx_load_dir(const char *dir, int test)
{
	char *path = find_images(dir, test);
	struct images set = idx_load(path);
	free(path);
	return set;
}

void idx_open_dir(struct idx_reader *r, const char *dir, int test)
{
	open_reader(r, find_images(dir, test));
}

uint8_t *idx_labels_dir(const char *dir, int test, size_t count, unsigned limit)
{
	char *path = find(dir, test ? "t10k-labels-idx1-ubyte" : "train-labels-idx1-ubyte");
	gzFile file = open_file(path, MAGIC_LABELS, "one dimension");
	uint32_t claimed = read_number(file, path);
	if (claimed != count)
		die("%s: claims %u labels, expected %zu, one for each image", path, claimed, count);
	uint8_t *labels = read_pixels(file, path, count);
	close_file(file, path, count, "labels");
	for (size_t i = 0; i < count; i++)
		if (labels[i] >= limit)
			die("%s: label %zu is %u, expected less than %u", path, i, labels[i], limit);
	free(path);
	return labels;
}
