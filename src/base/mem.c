#include "base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *checked(void *ptr)
{
	if (!ptr) {
		fputs("muster: out of memory\n", stderr);
		abort();
	}
	return ptr;
}

void *mem_alloc(size_t size)
{
	return checked(calloc(1, size ? size : 1));
}

void *mem_resize(void *ptr, size_t size)
{
	return checked(realloc(ptr, size ? size : 1));
}

char *mem_strdup(const char *text)
{
	return checked(strdup(text));
}

char *mem_strndup(const char *text, size_t len)
{
	return checked(strndup(text, len));
}

char *mem_printf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return checked(text);
}

json_t *mem_json(const char *fmt, ...)
{
	json_error_t why;
	va_list ap;
	va_start(ap, fmt);
	json_t *tree = json_vpack_ex(&why, 0, fmt, ap);
	va_end(ap);
	if (!tree) {
		fprintf(stderr, "muster: cannot build JSON '%s': %s\n", fmt, why.text);
		abort();
	}
	return tree;
}

json_t *mem_number(double value)
{
	return value == floor(value) && fabs(value) < 1e15 ? json_integer((json_int_t)value) : json_real(value);
}

void mem_cleanup_free(void *ptr)
{
	free(*(void **)ptr);
}

void mem_cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

void mem_cleanup_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

void mem_cleanup_json(json_t **tree)
{
	json_decref(*tree);
}
