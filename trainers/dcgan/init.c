#include "dcgan/init.h"

#include "common/die.h"
#include "common/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

static const char magic[8] = "dcgan-1\n";

void init_load(struct init *i, const char *path, size_t generator, size_t discriminator)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	if (!file || fstat(fileno(file), &st) < 0)
		die("%s: %s", path, strerror(errno));
	char head[8];
	uint64_t count[3];
	if (fread(head, 1, 8, file) != 8 || memcmp(head, magic, 8) != 0 || fread(count, 8, 3, file) != 3)
		die("%s: not a file of initial weights", path);
	if (count[0] != generator || count[1] != discriminator)
		die("%s: has %llu and %llu parameters, the networks have %zu and %zu: is it for another image size or "
		    "data set?",
			path, (unsigned long long)count[0], (unsigned long long)count[1], generator, discriminator);
	size_t total = ((size_t)st.st_size - 32) / sizeof(float);
	if (count[2] > total || generator + discriminator + count[2] != total ||
		(size_t)st.st_size != 32 + total * sizeof(float))
		die("%s: has %lld bytes, its counts want another size", path, (long long)st.st_size);
	*i = (struct init){
		.path = strdup(path), .generator = generator, .discriminator = discriminator, .noise = count[2]};
	i->all = mem_floats(total);
	if (fread(i->all, sizeof(float), total, file) != total)
		die("%s: cannot read its %zu floats", path, total);
	fclose(file);
}

void init_fini(struct init *i)
{
	free(i->path);
	free(i->all);
}

uint32_t init_digest(const struct init *i)
{
	return (uint32_t)crc32_z(
		0, (const Bytef *)i->all, (i->generator + i->discriminator + i->noise) * sizeof *i->all);
}

const float *init_generator(const struct init *i)
{
	return i->all;
}

const float *init_discriminator(const struct init *i)
{
	return i->all + i->generator;
}

const float *init_noise(const struct init *i, size_t offset, size_t count)
{
	if (offset > i->noise || count > i->noise - offset)
		die("%s: has noise for fewer iterations: %zu floats, and %zu from %zu on are wanted", i->path, i->noise,
			count, offset);
	return i->all + i->generator + i->discriminator + offset;
}
