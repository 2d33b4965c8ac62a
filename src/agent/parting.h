// The shared object that ranks of the MPICH family load (preload/parting.c), made part of the program when it is built.
// Who loads it and why is mpi's business.
#ifndef AGENT_PARTING_H
#define AGENT_PARTING_H

extern const char parting_so[];
extern const unsigned long parting_so_size;

#endif
