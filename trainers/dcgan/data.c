#include "dcgan/data.h"

#include "common/cifar.h"
#include "common/folder.h"
#include "common/idx.h"
#include "common/mem.h"

#include <omp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

// What a thread needs to resize an image, and the result.
struct data_worker {
	struct resize *resize;
	uint8_t *one;
};

// Where images were found, and which.
struct place {
	enum dataset dataset;
	char dir[4096];
	bool test;
};

// A data set is known by the name of one of its files. Archives of CIFAR-10 unpack to a folder of their own.
static const struct mark {
	const char *file;
	enum dataset dataset;
	bool test;
} marks[] = {{"train-images-idx3-ubyte.gz", DATASET_MNIST, false}, {"train-images-idx3-ubyte", DATASET_MNIST, false},
	{"t10k-images-idx3-ubyte.gz", DATASET_MNIST, true}, {"t10k-images-idx3-ubyte", DATASET_MNIST, true},
	{"data_batch_1.bin", DATASET_CIFAR10, false}, {"data_batch_1", DATASET_CIFAR10, false},
	{"test_batch.bin", DATASET_CIFAR10, true}, {"test_batch", DATASET_CIFAR10, true}};

static bool look_in(struct place *p, const char *root, const char *below, bool test)
{
	snprintf(p->dir, sizeof p->dir, "%s%s", root, below);
	for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
		char file[4200];
		snprintf(file, sizeof file, "%s/%s", p->dir, marks[i].file);
		if (marks[i].test != test || access(file, R_OK) != 0)
			continue;
		p->dataset = marks[i].dataset;
		p->test = test;
		return true;
	}
	return false;
}

// The split that was asked for, or the other one when only that is there; anything else is a folder of pictures.
static struct place find(const struct options *o)
{
	static const char *const folders[] = {"", "/cifar-10-batches-bin", "/cifar-10-batches-py"};
	struct place p;
	for (int other = 0; other < 2; other++)
		for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
			if (look_in(&p, o->dataroot, folders[i], o->test_data != (bool)other))
				return p;
	p.dataset = DATASET_FOLDER;
	snprintf(p.dir, sizeof p.dir, "%s", o->dataroot);
	return p;
}

void data_init(struct data *d, const struct options *o)
{
	*d = (struct data){.size = (int)o->image_size};
	struct place p = {.dataset = o->dataset, .test = o->test_data};
	if (o->dataset == DATASET_AUTO)
		p = find(o);
	const char *dir = o->dataset == DATASET_AUTO ? p.dir : o->dataroot;
	if (p.dataset == DATASET_CIFAR10)
		d->images = cifar_load_dir(dir, p.test);
	else if (p.dataset == DATASET_FOLDER)
		d->images = folder_load(dir, d->size);
	else
		d->images = idx_load_dir(dir, p.test);
	d->workers = omp_get_max_threads();
	d->worker = mem_new((size_t)d->workers, sizeof *d->worker);
	for (int i = 0; i < d->workers; i++) {
		d->worker[i].resize = resize_new(d->images.height, d->images.width, d->size);
		d->worker[i].one = mem_new((size_t)d->images.channels, (size_t)d->size * (size_t)d->size);
	}
}

void data_fini(struct data *d)
{
	images_fini(&d->images);
	for (int i = 0; i < d->workers; i++) {
		resize_free(d->worker[i].resize);
		free(d->worker[i].one);
	}
	free(d->worker);
}

uint32_t data_digest(const struct data *d)
{
	return (uint32_t)crc32_z(0, d->images.pixels, d->images.count * images_bytes(&d->images));
}

void data_batch(struct data *d, const uint32_t *index, int count, float *out)
{
	float level[256];
	for (int v = 0; v < 256; v++)
		level[v] = ((float)v / 255 - 0.5f) / 0.5f; // ToTensor, then Normalize(0.5, 0.5)
	size_t channels = (size_t)d->images.channels, from = images_bytes(&d->images),
	       plane = (size_t)d->size * (size_t)d->size;
#pragma omp parallel for num_threads(d->workers)
	for (int i = 0; i < count; i++) {
		struct data_worker *w = &d->worker[omp_get_thread_num()];
		float *to = out + (size_t)i * channels * plane;
		resize_run(w->resize, d->images.pixels + index[i] * from, d->images.channels, w->one);
		for (size_t c = 0; c < channels; c++)
			for (size_t k = 0; k < plane; k++)
				to[k * channels + c] = level[w->one[c * plane + k]];
	}
}
