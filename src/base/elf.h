// Executables (ELF, 64 bits, little-endian): for which processor they are, and what of them a machine needs.
// It does not run or change any file.
#ifndef BASE_ELF_H
#define BASE_ELF_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct elf {
	const char *machine; // as Go and Kubernetes call it: "amd64", "arm64"
	bool dynamic;        // it needs a loader, and the libraries of the place where it runs
};

// Looks at an executable in memory. -1 and err when it is none.
int elf_read(const void *bytes, size_t len, struct elf *elf, struct error *err);

// Cuts off what stands after the last byte that a machine loads (the table of sections, names, what debuggers read) and
// returns the length that is left. The bytes must have passed elf_read.
size_t elf_strip(void *bytes, size_t len);

#endif
