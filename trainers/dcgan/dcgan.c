// Trains a DCGAN (Radford, Metz, Chintala 2015) on images, data-parallel over MPI ranks: each rank takes its own images
// through its own copy of the networks, gradients are averaged, and all copies make the same step. Batch norm's
// statistics are each rank's own. Read from main() up.
#include "common/die.h"
#include "common/mem.h"
#include "common/png.h"
#include "common/rank.h"
#include "common/sampler.h"
#include "dcgan/checkpoint.h"
#include "dcgan/data.h"
#include "dcgan/generate.h"
#include "dcgan/group.h"
#include "dcgan/init.h"
#include "dcgan/net.h"
#include "dcgan/options.h"

#include <errno.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define GRID 64 // samples in a picture
#define GRID_COLUMNS 8
#define GRID_EVERY 100 // iterations

enum purpose { PURPOSE_GENERATOR = 10, PURPOSE_DISCRIMINATOR, PURPOSE_FIXED_NOISE, PURPOSE_NOISE };

struct trainer {
	struct options options;
	struct rank rank;
	struct group group;
	struct data data;
	struct sampler sampler;
	struct layer_device *device;
	struct net generator, discriminator;
	struct init init;
	float *real, *noise, *fixed_noise, *dlogit;
	bool generator_behind; // its gradients are on their way, its step not made
	long step;             // iterations done, over all epochs
	struct checkpoint_head head;
};

// What an iteration's line says.
struct losses {
	double d, g, d_x, d_g_z1, d_g_z2, seconds, input_seconds;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// ---- one iteration

// The exchange of gradients is hidden: a layer's goes out as soon as it is complete, and the generator's is only waited
// for when the generator is needed again, after the discriminator's next pass over real images.
struct outgoing {
	struct trainer *t;
	struct net *net;
};

static void send_gradients(void *arg, size_t first, size_t count)
{
	struct outgoing *o = arg;
	group_average_start(&o->t->group, o->net->grads + first, count);
}

static void progress(void *arg)
{
	struct trainer *t = arg;
	group_progress(&t->group);
}

// Makes one step with the network's gradients, averaged over the ranks, and clears them.
static void update(struct trainer *t, struct net *net)
{
	group_average_finish(&t->group);
	nn_adam_step(&net->adam, net->params, net->grads);
	memset(net->grads, 0, net->count * sizeof *net->grads);
	nn_params_changed(net->nn);
}

// The generator's step, put off until somebody needs it.
static void update_generator(struct trainer *t)
{
	if (t->generator_behind)
		update(t, &t->generator);
	t->generator_behind = false;
}

// One pass of the discriminator over X, there and back.
static const float *judge(
	struct trainer *t, const float *x, int batch, float target, int what, double *loss, double *probability)
{
	struct outgoing out = {t, &t->discriminator};
	struct nn_ready ready = {send_gradients, &out};
	const float *logit = nn_forward(t->discriminator.nn, x, batch);
	*loss = nn_bce(logit, batch, target, t->dlogit, probability);
	return nn_backward(t->discriminator.nn, t->dlogit, what, &ready);
}

static const float *draw_noise(struct trainer *t, int batch)
{
	size_t count = (size_t)batch * NET_NOISE, most = (size_t)t->options.batch_size * NET_NOISE;
	if (t->options.init)
		return init_noise(
			&t->init, ((size_t)t->step * (size_t)t->group.size + (size_t)t->group.rank) * most, count);
	struct rng rng; // a stream for each iteration and rank: a training that goes on from a checkpoint needs none of
			// the numbers before
	rng_init(&rng, (uint64_t)t->options.seed, PURPOSE_NOISE, (uint64_t)(t->step * t->group.size + t->group.rank));
	rng_fill_normal(&rng, t->noise, count, 0, 1);
	return t->noise;
}

static struct losses iterate(struct trainer *t, const uint32_t *index, int batch)
{
	struct losses l;
	double real_loss, fake_loss;
	double start = now();
	t->group.seconds = 0;
	data_batch(&t->data, index, batch, t->real);
	l.input_seconds = now() - start;

	// Discriminator: real images are to be called real, generated ones not.
	judge(t, t->real, batch, 1, LAYER_WEIGHTS, &real_loss, &l.d_x);
	update_generator(t);
	const float *noise = draw_noise(t, batch);
	const float *fake = nn_forward(t->generator.nn, noise, batch);
	judge(t, fake, batch, 0, LAYER_WEIGHTS | LAYER_LAST, &fake_loss, &l.d_g_z1);
	l.d = real_loss + fake_loss;
	update(t, &t->discriminator);

	// Generator: the same images are to be called real by the discriminator as it is now. Its own weights need no
	// gradient for that.
	const float *dfake = judge(t, fake, batch, 1, LAYER_INPUT, &l.g, &l.d_g_z2);
	nn_backward(t->generator.nn, dfake, LAYER_WEIGHTS | LAYER_LAST,
		&(struct nn_ready){send_gradients, &(struct outgoing){t, &t->generator}});
	t->generator_behind = true;

	t->step++;
	l.seconds = now() - start;
	return l;
}

// ---- what is told

static void print_iteration(
	const struct trainer *t, const struct losses *l, long epoch, long epochs, long iteration, long iterations)
{
	printf("[epoch: %ld/%ld][iteration: %ld/%ld] rank: %d Loss_D: %.4f Loss_G: %.4f D(x): %.4f D(G(z)): %.4f / "
	       "%.4f time: %.4f\n",
		epoch, epochs, iteration, iterations, t->group.rank, l->d, l->g, l->d_x, l->d_g_z1, l->d_g_z2,
		l->seconds);
	rank_metric(&t->rank, "Loss_D", l->d, t->step);
	rank_metric(&t->rank, "Loss_G", l->g, t->step);
	rank_metric(&t->rank, "D_x", l->d_x, t->step);
	rank_metric(&t->rank, "D_G_z1", l->d_g_z1, t->step);
	rank_metric(&t->rank, "D_G_z2", l->d_g_z2, t->step);
	rank_metric(&t->rank, "iter_seconds", l->seconds, t->step);
	rank_metric(&t->rank, "exchange_seconds", t->group.seconds, t->step);
	rank_metric(&t->rank, "input_seconds", l->input_seconds, t->step);
}

static void write_picture(const struct trainer *t, const char *name, const float *samples, int count)
{
	char *path;
	if (asprintf(&path, "%s/%s", t->options.out_folder, name) < 0)
		die("out of memory");
	png_write_grid(path, samples, count, t->discriminator.in.c, t->discriminator.in.h, GRID_COLUMNS);
	free(path);
}

static void write_real(struct trainer *t)
{
	int count = t->sampler.count < GRID ? (int)t->sampler.count : GRID;
	float *samples = mem_floats((size_t)count * layer_shape_count(t->discriminator.in));
	data_batch(&t->data, t->sampler.mine, count, samples);
	write_picture(t, "real_samples.png", samples, count);
	free(samples);
}

// Always from the same noise, so that the pictures can be compared; in batches, as in training, because batch norm is
// part of the network.
static void write_fake(struct trainer *t, long epoch, long iteration)
{
	size_t one = layer_shape_count(t->discriminator.in);
	int batch = (int)t->options.batch_size;
	update_generator(t);
	float *samples = mem_floats(GRID * one);
	for (int i = 0; i < GRID; i += batch) {
		const float *fake = nn_forward(t->generator.nn, t->fixed_noise + (size_t)i * NET_NOISE, batch);
		memcpy(samples + (size_t)i * one, fake,
			(size_t)(GRID - i < batch ? GRID - i : batch) * one * sizeof *samples);
	}
	char name[80];
	snprintf(name, sizeof name, "fake_samples_epoch_%03ld_iter_%05ld.png", epoch, iteration);
	write_picture(t, name, samples, GRID);
	free(samples);
}

// ---- checkpoints

// What a checkpoint of this training says beside its state.
static void init_head(struct trainer *t)
{
	const struct options *o = &t->options;
	t->head = (struct checkpoint_head){
		.fact = {[CHECKPOINT_IMAGE_SIZE] = (uint64_t)o->image_size,
			[CHECKPOINT_CHANNELS] = (uint64_t)t->data.images.channels,
			[CHECKPOINT_BATCH_SIZE] = (uint64_t)o->batch_size,
			[CHECKPOINT_RANKS] = (uint64_t)t->group.size,
			[CHECKPOINT_SEED] = (uint64_t)o->seed,
			[CHECKPOINT_CONV] = o->conv,
			[CHECKPOINT_IMAGES] = t->data.images.count,
			[CHECKPOINT_DATA_DIGEST] = data_digest(&t->data),
			[CHECKPOINT_INIT_DIGEST] = init_digest(&t->init)},
		.generator = t->generator.count,
		.discriminator = t->discriminator.count,
	};
}

// Rank 0 writes. By then the others have told about the iteration, or a line of theirs would be missing if all were
// killed afterwards.
static void keep(struct trainer *t)
{
	update_generator(t);
	group_wait(&t->group);
	t->head.step = (uint64_t)t->step;
	if (t->group.rank == 0)
		checkpoint_save(t->options.checkpoint, &t->head, &t->generator, &t->discriminator);
}

// The networks and their optimisers become rank 0's, after STEP iterations.
static void share_nets(struct trainer *t, long step)
{
	struct net *nets[] = {&t->generator, &t->discriminator};
	for (int i = 0; i < 2; i++) {
		group_broadcast(&t->group, nets[i]->params, nets[i]->count);
		group_broadcast(&t->group, nets[i]->adam.m, nets[i]->count);
		group_broadcast(&t->group, nets[i]->adam.v, nets[i]->count);
		nets[i]->adam.step = step;
	}
	t->step = step;
}

// Rank 0: whether there is a checkpoint, of this very training, whose state the networks then have.
static bool find_checkpoint(struct trainer *t, struct checkpoint_head *head)
{
	const char *dir = t->options.checkpoint;
	struct checkpoint c;
	checkpoint_prepare(dir);
	if (!checkpoint_load(&c, dir)) {
		if (t->options.resume)
			printf("%s: no checkpoint, starting from the beginning\n", dir);
		return false;
	}
	if (!t->options.resume)
		die("%s: there already; --resume goes on from it, and another --checkpoint leaves it alone", c.path);
	checkpoint_check(dir, &c.head, &t->head);
	checkpoint_restore(&c, &t->generator, &t->discriminator);
	printf("%s: going on after iteration %llu\n", c.path, (unsigned long long)c.head.step);
	*head = c.head;
	checkpoint_fini(&c);
	return true;
}

// What rank 0 finds goes to all ranks, so that only its file system matters.
static void go_on(struct trainer *t)
{
	struct checkpoint_head head;
	bool found = t->group.rank == 0 && find_checkpoint(t, &head);
	group_broadcast_bytes(&t->group, &found, sizeof found);
	if (!found)
		return;
	group_broadcast_bytes(&t->group, &head, sizeof head);
	checkpoint_check(t->options.checkpoint, &head, &t->head); // this rank may have other images than rank 0
	share_nets(t, (long)head.step);
}

// ---- the run

// Iterations of all epochs together, as --max_iters allows.
static long total_iterations(const struct trainer *t, long per_epoch)
{
	long total;
	if (__builtin_mul_overflow(per_epoch, t->options.num_epochs, &total))
		die("too many iterations: %ld epochs of %ld", t->options.num_epochs, per_epoch);
	return t->options.max_iters && t->options.max_iters < total ? t->options.max_iters : total;
}

static void train(struct trainer *t)
{
	size_t batch = (size_t)t->options.batch_size;
	long per_epoch = (long)sampler_batches(&t->sampler, batch), total = total_iterations(t, per_epoch);
	long epochs = (total + per_epoch - 1) / per_epoch;
	double start = 0;
	sampler_epoch(&t->sampler, 0);
	if (t->group.rank == 0)
		write_real(t);
	for (bool first = true; t->step < total; first = false) {
		long epoch = t->step / per_epoch, i = t->step % per_epoch, left = total - epoch * per_epoch;
		long iterations = left < per_epoch ? left : per_epoch;
		if (i == 0 || first) { // a training that goes on may do so amid an epoch
			start = now();
			sampler_epoch(&t->sampler, (uint64_t)epoch);
		}
		size_t at = (size_t)i * batch;
		size_t left_of_epoch = t->sampler.count - at;
		struct losses l =
			iterate(t, t->sampler.mine + at, (int)(left_of_epoch < batch ? left_of_epoch : batch));
		print_iteration(t, &l, epoch + 1, epochs, i + 1, iterations);
		if (t->group.rank == 0 && (t->step % GRID_EVERY == 0 || t->step == total))
			write_fake(t, epoch + 1, i + 1);
		if (i + 1 == iterations)
			printf("[epoch: %ld/%ld] rank: %d time: %.4f\n", epoch + 1, epochs, t->group.rank,
				now() - start);
		if (t->step == total)
			update_generator(t);
		if (t->options.checkpoint &&
			(t->step == total || (t->options.every && t->step % t->options.every == 0)))
			keep(t);
	}
}

static int default_threads(const struct group *g)
{
	cpu_set_t cores;
	int count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
	return count / g->on_this_machine > 1 ? count / g->on_this_machine : 1;
}

static void make_folder(const char *path)
{
	if (mkdir(path, 0777) < 0 && errno != EEXIST) // another rank may be quicker
		die("--out_folder %s: %s", path, strerror(errno));
}

static void init_weights(struct trainer *t)
{
	struct net *g = &t->generator, *d = &t->discriminator;
	struct rng rng;
	rng_init(&rng, (uint64_t)t->options.seed, PURPOSE_GENERATOR, 0);
	net_randomize(g, &rng);
	rng_init(&rng, (uint64_t)t->options.seed, PURPOSE_DISCRIMINATOR, 0);
	net_randomize(d, &rng);
	if (t->options.init) {
		init_load(&t->init, t->options.init, g->count, d->count);
		memcpy(g->params, init_generator(&t->init), g->count * sizeof(float));
		memcpy(d->params, init_discriminator(&t->init), d->count * sizeof(float));
	}
	// The seed makes them equal already, unless the ranks' mathematics libraries differ in a last bit.
	group_broadcast(&t->group, g->params, g->count);
	group_broadcast(&t->group, d->params, d->count);
}

static void init_buffers(struct trainer *t)
{
	size_t batch = (size_t)t->options.batch_size;
	size_t fixed = batch > GRID ? batch : GRID + batch; // whole batches that cover the picture
	struct rng rng;
	t->real = mem_floats(batch * layer_shape_count(t->discriminator.in));
	t->noise = mem_floats(batch * NET_NOISE);
	t->dlogit = mem_floats(batch);
	t->fixed_noise = mem_floats(fixed * NET_NOISE);
	rng_init(&rng, (uint64_t)t->options.seed, PURPOSE_FIXED_NOISE, 0);
	rng_fill_normal(&rng, t->fixed_noise, fixed * NET_NOISE, 0, 1);
}

static void join(struct trainer *t)
{
	const struct options *o = &t->options;
	rank_load(&t->rank);
	group_start(&t->group);
	rank_check(&t->rank, "MPI", t->group.rank, t->group.size);
	omp_set_num_threads(o->threads ? (int)o->threads : default_threads(&t->group));
	if (t->group.rank == 0)
		make_folder(o->out_folder);
}

static void trainer_init(struct trainer *t)
{
	const struct options *o = &t->options;
	data_init(&t->data, o);
	sampler_init(&t->sampler, t->data.images.count, t->group.rank, t->group.size, (uint64_t)o->seed);
	net_init_generator(&t->generator, t->data.images.channels, (int)o->image_size);
	net_init_discriminator(&t->discriminator, t->data.images.channels, (int)o->image_size);
	init_weights(t);
	init_buffers(t);
	if (o->checkpoint) {
		init_head(t);
		go_on(t);
	}
	t->device = layer_device_new();
	net_build(&t->generator, t->device, o->conv, (int)o->batch_size);
	net_build(&t->discriminator, t->device, o->conv, (int)o->batch_size);
	nn_on_layer(t->generator.nn, progress, t);
	nn_on_layer(t->discriminator.nn, progress, t);
	if (t->group.rank == 0)
		nn_print_kernels(t->discriminator.nn, stderr); // not among the lines that other tools read
}

static void trainer_fini(struct trainer *t)
{
	net_fini(&t->generator);
	net_fini(&t->discriminator);
	layer_device_free(t->device);
	init_fini(&t->init);
	sampler_fini(&t->sampler);
	data_fini(&t->data);
	free(t->real);
	free(t->noise);
	free(t->fixed_noise);
	free(t->dlogit);
}

int main(int argc, char **argv)
{
	struct trainer t = {0};
	setvbuf(stdout, NULL, _IOLBF, 0); // a line is out when it is printed, into a pipe too
	options_parse(&t.options, argc, argv);
	join(&t);
	if (t.options.generate) {
		generate(&t.options, &t.group);
	} else {
		trainer_init(&t);
		train(&t);
		trainer_fini(&t);
	}
	group_stop();
	return 0;
}
