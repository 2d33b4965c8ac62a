#include "dcgan/data.h"

#include "common/cifar.h"
#include "common/folder.h"
#include "common/idx.h"
#include "common/mem.h"

#include <stdlib.h>

void data_init(struct data *d, const struct options *o)
{
	*d = (struct data){.size = (int)o->image_size};
	switch (o->dataset) {
	case DATASET_CIFAR10:
		d->images = cifar_load_dir(o->dataroot, o->test_data);
		break;
	case DATASET_MNIST:
	case DATASET_FASHION:
		d->images = idx_load_dir(o->dataroot, o->test_data);
		break;
	case DATASET_FOLDER:
		d->images = folder_load(o->dataroot, d->size);
		break;
	}
	d->resize = resize_new(d->images.height, d->images.width, d->size);
	d->one = mem_new((size_t)d->images.channels, (size_t)d->size * (size_t)d->size);
}

void data_fini(struct data *d)
{
	images_fini(&d->images);
	resize_free(d->resize);
	free(d->one);
}

void data_batch(struct data *d, const uint32_t *index, int count, float *out)
{
	float level[256];
	for (int v = 0; v < 256; v++)
		level[v] = ((float)v / 255 - 0.5f) / 0.5f; // ToTensor, then Normalize(0.5, 0.5)
	size_t from = images_bytes(&d->images), to = (size_t)d->images.channels * (size_t)d->size * (size_t)d->size;
	for (int i = 0; i < count; i++, out += to) {
		resize_run(d->resize, d->images.pixels + index[i] * from, d->images.channels, d->one);
		for (size_t k = 0; k < to; k++)
			out[k] = level[d->one[k]];
	}
}
