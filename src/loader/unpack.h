// The agent out of its parts: the files 0, 1, 2 ... of a directory, which together are one gzip stream.
// It starts nothing and allocates nothing; what it needs of libraries is zlib, and of OpenSSL its SHA-256, which knows
// the processor's own instructions.
#ifndef LOADER_UNPACK_H
#define LOADER_UNPACK_H

#include <stddef.h>

struct unpack_error {
	char text[512];
};

// Inflates the parts in this directory to a descriptor and compares the SHA-256 (64 hexadecimal digits, lower case) of
// what was written with the one expected. 0, or -1 and err; what was written before an error is not to be used.
int unpack_parts(const char *dir, const char *sha256, int to, struct unpack_error *err);

// The same in steps, over pieces in memory: begin, add as often as there are pieces, end. One at a time in a process.
// to -1: nothing is written.
void unpack_begin(int to);
int unpack_add(const void *bytes, size_t len, struct unpack_error *err);
int unpack_end(const char *sha256, struct unpack_error *err);

#endif
