// The process manager's end of PMI-1 for the ranks of one node: what an MPI program of the MPICH family asks when it
// starts. It does no I/O: bytes of a rank go in, lines for a rank come out through a call-back.
//
// A rank finds it by PMI_FD (an open socket), PMI_RANK and PMI_SIZE in its environment; nothing else is needed.
#ifndef NODE_PMI_H
#define NODE_PMI_H

#include <jansson.h>
#include <stddef.h>

struct pmi;

struct pmi_options {
	const char *name;    // of the key-value space: the run's id, at most 63 characters, no blanks
	size_t size;         // ranks of the whole run
	size_t nlocal;       // ranks of this node
	const size_t *hosts; // for each rank of the run the number of the machine it runs on: ranks of one machine
			     // share memory. NULL: the program finds out by host names, which is wrong for nodes that
			     // have the same name.

	// Write len bytes (whole lines) to the local-th rank of this node. It may be called from pmi_input and
	// pmi_fence_done.
	void (*reply)(size_t local, const char *lines, size_t len, void *data);
	// All local ranks wait in the barrier: puts, an object of strings, is what they have told since the last one
	// (borrowed). Everybody's must come back by pmi_fence_done, which may be called at once.
	void (*fence)(const json_t *puts, void *data);
	// The program gave up (MPI_Abort).
	void (*abort)(size_t local, int code, void *data);
	void *data;
};

struct pmi *pmi_new(const struct pmi_options *options); // copies hosts and name
void pmi_free(struct pmi *pmi);

// Takes what the local-th rank has written, in pieces of any size. What is malformed or not known is answered by rc=-1
// and a reason.
void pmi_input(struct pmi *pmi, size_t local, const char *bytes, size_t len);

// Ends the barrier: all is an array with the object of each node. Anything else in it is passed over.
void pmi_fence_done(struct pmi *pmi, const json_t *all);

#endif
