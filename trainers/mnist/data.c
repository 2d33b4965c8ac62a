#include "mnist/data.h"

#include "common/die.h"
#include "common/mem.h"
#include "common/rng.h"
#include "mnist/net.h"

#include <stdlib.h>

#define EDGE 28
#define PIECE 512 // images inflated at a time

enum purpose { PURPOSE_WINDOWS = 21, PURPOSE_WITHIN };

void data_open(struct data *d, const char *dir, int test)
{
	*d = (struct data){0};
	idx_open_dir(&d->reader, dir, test);
	if (d->reader.height != EDGE || d->reader.width != EDGE)
		die("%s: images of %zu x %zu, expected %d x %d", d->reader.path, d->reader.width, d->reader.height,
			EDGE, EDGE);
	d->count = d->reader.count;
	d->pixels = mem_new(d->count, NET_PIXELS); // only what is written to takes memory
	d->labels = idx_labels_dir(dir, test, d->count, NET_CLASSES);
}

void data_close(struct data *d)
{
	idx_close(&d->reader);
	free(d->pixels);
	free(d->labels);
}

static void inflate_to(struct data *d, size_t index)
{
	while (d->reader.done <= index) {
		size_t done = d->reader.done, left = d->count - done;
		idx_read(&d->reader, d->pixels + done * NET_PIXELS, left < PIECE ? left : PIECE);
	}
}

const uint8_t *data_image(struct data *d, size_t index)
{
	if (index >= d->reader.done)
		inflate_to(d, index);
	return d->pixels + index * NET_PIXELS;
}

void data_order_init(struct data_order *o, size_t count, uint64_t seed)
{
	*o = (struct data_order){.count = count, .seed = seed, .epoch = UINT64_MAX};
	if (count > UINT32_MAX)
		die("%zu images: expected at most %u", count, UINT32_MAX);
	o->index = mem_new(count, sizeof *o->index);
}

void data_order_fini(struct data_order *o)
{
	free(o->index);
}

static void shuffle(struct data_order *o)
{
	size_t windows = (o->count + DATA_WINDOW - 1) / DATA_WINDOW;
	uint32_t *window = mem_new(windows, sizeof *window), *out = o->index;
	struct rng rng;
	for (size_t w = 0; w < windows; w++)
		window[w] = (uint32_t)w;
	rng_init(&rng, o->seed, PURPOSE_WINDOWS, o->epoch);
	if (o->epoch > 0)
		rng_shuffle(&rng, window, windows);
	rng_init(&rng, o->seed, PURPOSE_WITHIN, o->epoch);
	for (size_t w = 0; w < windows; w++) {
		size_t first = (size_t)window[w] * DATA_WINDOW;
		size_t size = o->count - first < DATA_WINDOW ? o->count - first : DATA_WINDOW;
		for (size_t i = 0; i < size; i++)
			out[i] = (uint32_t)(first + i);
		rng_shuffle(&rng, out, size);
		out += size;
	}
	free(window);
}

size_t data_order_at(struct data_order *o, uint64_t position)
{
	uint64_t epoch = position / o->count;
	if (epoch != o->epoch) {
		o->epoch = epoch;
		shuffle(o);
	}
	return o->index[position % o->count];
}
