// Which family of MPI a program was built for, by the libraries it asks for.
// It runs nothing.
#ifndef NODE_FAMILY_H
#define NODE_FAMILY_H

#include <sys/types.h>

enum family { FAMILY_NONE, FAMILY_MPICH, FAMILY_OPENMPI };

// Of an ELF file; FAMILY_NONE for everything else, whatever the bytes.
enum family family_of(const char *path);

// Of a process that lives, by the libraries it has loaded: also what an interpreter has loaded, and nothing before it
// has.
enum family family_of_process(pid_t pid);

#endif
