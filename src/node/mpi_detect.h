// Which family of MPI a program was built for, by the libraries it asks for.
// It runs nothing.
#ifndef NODE_MPI_DETECT_H
#define NODE_MPI_DETECT_H

#include <sys/types.h>

enum mpi_family { MPI_FAMILY_NONE, MPI_FAMILY_MPICH, MPI_FAMILY_OPENMPI };

// Of an ELF file; MPI_FAMILY_NONE for everything else, whatever the bytes.
enum mpi_family mpi_detect_program(const char *path);

// Of a process that lives, by the libraries it has loaded: also what an interpreter has loaded, and nothing before it
// has.
enum mpi_family mpi_detect_process(pid_t pid);

#endif
