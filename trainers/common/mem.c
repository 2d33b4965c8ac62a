#include "common/mem.h"

#include "common/die.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *mem_new(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size);
	if (!p)
		die("out of memory: %zu objects of %zu bytes", count, size);
	return p;
}

float *mem_floats(size_t count)
{
	if (count > (SIZE_MAX - 64) / sizeof(float))
		die("out of memory: %zu floats", count);
	size_t bytes = (count * sizeof(float) + 64) / 64 * 64; // aligned_alloc wants a multiple
	float *p = aligned_alloc(64, bytes);
	if (!p)
		die("out of memory: %zu floats", count);
	memset(p, 0, bytes);
	return p;
}

void *mem_grow(void *old, size_t count, size_t size)
{
	void *p = reallocarray(old, count ? count : 1, size);
	if (!p)
		die("out of memory: %zu objects of %zu bytes", count, size);
	return p;
}
