// The shared object that ranks of the MPICH family load (preload/ucx_finalize.c), made part of the program when it is
// built. Who loads it and why is mpi's business.
#ifndef AGENT_UCX_FINALIZE_H
#define AGENT_UCX_FINALIZE_H

extern const char ucx_finalize_so[];
extern const unsigned long ucx_finalize_so_size;

#endif
