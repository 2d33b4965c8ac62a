// Memory that is there or the trainer dies.
// Not an arena and not a pool; what is from new, floats and grow goes back with free().
#ifndef COMMON_MEM_H
#define COMMON_MEM_H
#include <stddef.h>

// COUNT objects of SIZE bytes, zeroed. Dies when there is no memory or the product overflows. Caller frees.
void *mem_new(size_t count, size_t size);

// COUNT floats, zeroed, on a cache line's boundary, as vector code likes them. Dies as mem_new does. Caller frees.
float *mem_floats(size_t count);

// realloc() to COUNT objects of SIZE bytes; new bytes are not zeroed. Dies as mem_new does.
void *mem_grow(void *old, size_t count, size_t size);

// COUNT floats, zeroed, for large buffers that live long: a mapping of its own, in huge pages where the system has
// them. Memory is taken when it is first written. Dies as mem_new does. Goes back with mem_unmap, which takes NULL.
float *mem_map(size_t count);
void mem_unmap(float *floats, size_t count);

#endif
