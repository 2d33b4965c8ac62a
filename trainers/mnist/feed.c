#include "mnist/feed.h"

#include "common/mem.h"

#include <stdlib.h>

void feed_init(struct feed *f, const char *dir, uint64_t seed, uint32_t index, uint32_t workers, size_t batch)
{
	*f = (struct feed){.index = index, .workers = workers, .batch = batch};
	data_open(&f->data, dir, 0);
	data_order_init(&f->order, f->data.count, seed);
	f->images = mem_new(batch, sizeof *f->images);
	f->labels = mem_new(batch, 1);
}

void feed_fini(struct feed *f)
{
	data_close(&f->data);
	data_order_fini(&f->order);
	free(f->images);
	free(f->labels);
}

void feed_load(struct feed *f, uint64_t number, struct net *net)
{
	for (size_t i = 0; i < f->batch; i++) {
		size_t image = data_order_at(&f->order, (number * f->batch + i) * f->workers + f->index);
		f->images[i] = data_image(&f->data, image);
		f->labels[i] = f->data.labels[image];
	}
	net_load(net, f->images, f->labels);
}
