// Memory that is there or the program aborts, and locals that clean up after themselves.
// No pools and no arenas: those belong to whoever needs one.
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

void *mem_alloc(size_t size); // zeroed; never NULL
void *mem_resize(void *ptr, size_t size);
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

// The json_pack of a caller whose format is right: aborts rather than return NULL.
json_t *mem_json(const char *fmt, ...);

json_t *mem_number(double value); // an integer where it is one

void mem_cleanup_free(void *ptr);
void mem_cleanup_fd(int *fd);
void mem_cleanup_file(FILE **file);
void mem_cleanup_json(json_t **tree);

#define autofree __attribute__((cleanup(mem_cleanup_free)))
#define autoclose __attribute__((cleanup(mem_cleanup_fd)))  // int fd; negative is left alone
#define autofile __attribute__((cleanup(mem_cleanup_file))) // FILE *
#define autojson __attribute__((cleanup(mem_cleanup_json))) // json_t *

// Gives a cleaned-up pointer away: its value, and NULL stays behind.
#define steal(ptr)                                                                                                     \
	({                                                                                                             \
		__auto_type stolen_ = (ptr);                                                                           \
		(ptr) = NULL;                                                                                          \
		stolen_;                                                                                               \
	})

// The same for a descriptor: -1 stays behind.
static inline int steal_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

#define countof(array) (sizeof(array) / sizeof((array)[0]))

#endif
