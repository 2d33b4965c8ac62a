// Which family of MPI serves the ranks, and what programs of it find in their environment.
// It starts nothing: the PMI server (node/pmi.h) and Open MPI's launcher (agent/mpirun.h) do.
#ifndef AGENT_MPI_H
#define AGENT_MPI_H

#include "agent/node.h"

// Decides node->mpi, with node 0's word where the job leaves it open, and calls on_settled; at once where there is
// nothing to ask. Node 0 says how it was decided (event mpi). Where mpirun is missing node_fail says so, and that is
// the end.
void mpi_settle(struct node *node, void (*on_settled)(struct node *node));

// Adds to env, a rank's own, what MPI asks for. open_mpi: what Open MPI has for this rank, or NULL. What env has
// already stays.
void mpi_add_env(const struct node *node, size_t rank, const json_t *open_mpi, json_t *env);

// A program of Open MPI would run as many lonely programs of size 1 where only MPICH's are served: -1 and err when argv
// is one, or pid or what it has started.
int mpi_check_program(const struct node *node, const json_t *argv, const char *path, struct error *err);
int mpi_check_process(const struct node *node, pid_t pid, struct error *err);

#endif
