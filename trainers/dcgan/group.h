// The ranks that train together: MPI, all of it. Works without any mpiexec, as a group of one.
// Not the environment muster sets (common/rank.h), which it only compares with.
#pragma once
#include <stddef.h>

struct group {
	int rank, size;
	int on_this_machine; // ranks, this one included
};

// Starts MPI; from here on a die() takes all ranks down.
void group_start(struct group *g);
void group_stop(void);

// X[0..COUNT) becomes its mean over all ranks, the same bits on each.
void group_average(const struct group *g, float *x, size_t count);

// X[0..COUNT) becomes rank 0's.
void group_broadcast(const struct group *g, float *x, size_t count);
void group_broadcast_bytes(const struct group *g, void *x, size_t size);

// Waits until all ranks are here.
void group_wait(const struct group *g);
