#include "common/mem.h"

#include "common/die.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

#define HUGE_PAGE ((size_t)2 << 20)

static size_t map_bytes(size_t count)
{
	if (count > (SIZE_MAX - HUGE_PAGE) / sizeof(float))
		die("out of memory: %zu floats", count);
	return (count * sizeof(float) + HUGE_PAGE) / HUGE_PAGE * HUGE_PAGE;
}

float *mem_map(size_t count)
{
	size_t bytes = map_bytes(count);
	char *p = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		die("out of memory: %zu floats", count);
	// A huge page begins at a multiple of its size: cut off what is before and behind.
	size_t before = -(uintptr_t)p % HUGE_PAGE;
	if (before)
		munmap(p, before);
	munmap(p + before + bytes, HUGE_PAGE - before);
	p += before;
	madvise(p, bytes, MADV_HUGEPAGE); // a wish: slower without, not wrong
	return (float *)p;
}

void mem_unmap(float *floats, size_t count)
{
	if (floats)
		munmap(floats, map_bytes(count));
}
