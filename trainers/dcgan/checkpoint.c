#include "dcgan/checkpoint.h"

#include "common/die.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define VERSION 1
#define COPIES 3 // of each parameter's size: itself, m and v

struct start {
	char magic[8];
	uint64_t version;
	struct checkpoint_head head;
};

static const char magic[8] = "dcgan-c\n";

static const char *const fact_names[CHECKPOINT_FACTS] = {
	[CHECKPOINT_IMAGE_SIZE] = "--image_size",
	[CHECKPOINT_CHANNELS] = "the number of channels",
	[CHECKPOINT_BATCH_SIZE] = "--batch_size",
	[CHECKPOINT_RANKS] = "the number of ranks",
	[CHECKPOINT_SEED] = "--seed",
	[CHECKPOINT_CONV] = "--conv (0 direct, 1 winograd)",
	[CHECKPOINT_IMAGES] = "the number of images",
	[CHECKPOINT_DATA_DIGEST] = "the checksum of the images",
	[CHECKPOINT_INIT_DIGEST] = "the checksum of the file of --init",
};

static char *path_in(const char *dir, const char *name)
{
	char *path;
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		die("out of memory");
	return path;
}

void checkpoint_prepare(const char *dir)
{
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		die("--checkpoint %s: %s", dir, strerror(errno));
	char *inside = path_in(dir, "."), *beside = path_in(dir, "checkpoint.tmp");
	if (access(inside, W_OK | X_OK) < 0) // better now than after hours
		die("--checkpoint %s: %s", dir, strerror(errno));
	if (unlink(beside) < 0 && errno != ENOENT)
		die("%s: left by a training that was killed, and cannot be removed: %s", beside, strerror(errno));
	free(inside);
	free(beside);
}

// ---- writing

struct writer {
	int fd;
	uint32_t crc;
	const char *path;
};

__attribute__((noreturn)) static void give_up(const struct writer *w)
{
	int code = errno;
	unlink(w->path); // what is there of it would only keep a full disk full
	die("%s: cannot write the checkpoint: %s", w->path, strerror(code));
}

static void put(struct writer *w, const void *data, size_t size)
{
	w->crc = (uint32_t)crc32_z(w->crc, data, size);
	for (size_t done = 0; done < size;) {
		ssize_t n = write(w->fd, (const char *)data + done, size - done);
		if (n < 0 && errno != EINTR)
			give_up(w);
		done += n > 0 ? (size_t)n : 0;
	}
}

static void put_net(struct writer *w, const struct net *net)
{
	put(w, net->params, net->count * sizeof(float));
	put(w, net->adam.m, net->count * sizeof(float));
	put(w, net->adam.v, net->count * sizeof(float));
}

// The new name is on the disk only when the directory is.
static void sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL)) // EINVAL: a file system that has no such thing
		die("%s: cannot sync: %s", dir, strerror(errno));
	close(fd);
}

void checkpoint_save(const char *dir, const struct checkpoint_head *head, const struct net *generator,
	const struct net *discriminator)
{
	char *path = path_in(dir, "checkpoint"), *beside = path_in(dir, "checkpoint.tmp");
	struct writer w = {.path = beside};
	struct start start = {.version = VERSION, .head = *head};
	memcpy(start.magic, magic, sizeof magic);
	w.fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (w.fd < 0)
		give_up(&w);
	put(&w, &start, sizeof start);
	put_net(&w, generator);
	put_net(&w, discriminator);
	uint64_t crc = w.crc;
	put(&w, &crc, sizeof crc);
	if (fsync(w.fd) < 0 || close(w.fd) < 0 || rename(beside, path) < 0)
		give_up(&w);
	sync_dir(dir);
	free(path);
	free(beside);
}

// ---- reading

// Bytes of the whole file, or 0 when the counts are absurd.
static uint64_t wanted_size(const struct checkpoint_head *h)
{
	uint64_t count, bytes;
	if (__builtin_add_overflow(h->generator, h->discriminator, &count) ||
		__builtin_mul_overflow(count, COPIES * sizeof(float), &bytes) ||
		__builtin_add_overflow(bytes, sizeof(struct start) + sizeof(uint64_t), &bytes))
		return 0;
	return bytes;
}

static void read_start(const char *path, FILE *file, struct start *start)
{
	struct stat st;
	if (fstat(fileno(file), &st) < 0)
		die("%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || fread(start, 1, sizeof *start, file) != sizeof *start ||
		memcmp(start->magic, magic, sizeof magic) != 0)
		die("%s: not a checkpoint: expected a file of at least %zu bytes that begins with 'dcgan-c'", path,
			sizeof *start);
	if (start->version != VERSION)
		die("%s: a checkpoint of version %llu, expected %d", path, (unsigned long long)start->version, VERSION);
	if (start->head.step > LONG_MAX)
		die("%s: damaged: claims %llu iterations", path, (unsigned long long)start->head.step);
	uint64_t wanted = wanted_size(&start->head);
	if (wanted != (uint64_t)st.st_size)
		die("%s: damaged: has %lld bytes, expected %llu for %llu and %llu parameters", path,
			(long long)st.st_size, (unsigned long long)wanted, (unsigned long long)start->head.generator,
			(unsigned long long)start->head.discriminator);
}

bool checkpoint_load(struct checkpoint *c, const char *dir)
{
	char *path = path_in(dir, "checkpoint");
	FILE *file = fopen(path, "rb");
	if (!file && errno == ENOENT) {
		free(path);
		return false;
	}
	if (!file)
		die("%s: %s", path, strerror(errno));
	struct start start;
	read_start(path, file, &start);
	size_t count = COPIES * (start.head.generator + start.head.discriminator);
	uint64_t said;
	*c = (struct checkpoint){.head = start.head, .path = path, .floats = mem_floats(count)};
	if (fread(c->floats, sizeof(float), count, file) != count || fread(&said, sizeof said, 1, file) != 1)
		die("%s: cannot read its %zu floats and their checksum", path, count);
	uint64_t crc = crc32_z(
		crc32_z(0, (const Bytef *)&start, sizeof start), (const Bytef *)c->floats, count * sizeof(float));
	if (crc != said)
		die("%s: damaged: its checksum is %08llx, expected %08llx", path, (unsigned long long)crc,
			(unsigned long long)said);
	fclose(file);
	return true;
}

void checkpoint_fini(struct checkpoint *c)
{
	free(c->path);
	free(c->floats);
}

void checkpoint_check(const char *dir, const struct checkpoint_head *found, const struct checkpoint_head *mine)
{
	for (int i = 0; i < CHECKPOINT_FACTS; i++)
		if (found->fact[i] != mine->fact[i])
			die("%s/checkpoint: %s was %llu when it was written and is %llu now; only the same training "
			    "can go on from it",
				dir, fact_names[i], (unsigned long long)found->fact[i],
				(unsigned long long)mine->fact[i]);
	if (found->generator != mine->generator || found->discriminator != mine->discriminator)
		die("%s/checkpoint: has %llu and %llu parameters, the networks have %llu and %llu", dir,
			(unsigned long long)found->generator, (unsigned long long)found->discriminator,
			(unsigned long long)mine->generator, (unsigned long long)mine->discriminator);
}

static const float *restore_net(const struct checkpoint *c, const float *at, struct net *net)
{
	memcpy(net->params, at, net->count * sizeof *at);
	memcpy(net->adam.m, at + net->count, net->count * sizeof *at);
	memcpy(net->adam.v, at + 2 * net->count, net->count * sizeof *at);
	net->adam.step = (long)c->head.step;
	return at + COPIES * net->count;
}

void checkpoint_restore(const struct checkpoint *c, struct net *generator, struct net *discriminator)
{
	restore_net(c, restore_net(c, c->floats, generator), discriminator);
}

const float *checkpoint_generator(const struct checkpoint *c)
{
	return c->floats;
}
