// The ranks that train together: MPI, all of it. Works without any mpiexec, as a group of one.
// Not the environment muster sets (common/rank.h), which it only compares with.
#ifndef DCGAN_GROUP_H
#define DCGAN_GROUP_H
#include <stddef.h>

struct group {
	int rank, size;
	int on_this_machine; // ranks, this one included
	double seconds;      // spent in averaging, waiting included
};

// Starts MPI; from here on a die() takes all ranks down.
void group_start(struct group *g);
void group_stop(void);

// X[0..COUNT) is to become its mean over all ranks, the same bits on each, by the time of group_average_finish: until
// then it is not to be touched. All ranks start the same averages in the same order, at most GROUP_AVERAGES of them.
// MPI moves data only while it is called: group_progress now and then, between other work, hides the exchange behind
// that work.
#define GROUP_AVERAGES 64
void group_average_start(struct group *g, float *x, size_t count);
void group_progress(struct group *g);
void group_average_finish(struct group *g);

// X[0..COUNT) becomes rank 0's.
void group_broadcast(const struct group *g, float *x, size_t count);
void group_broadcast_bytes(const struct group *g, void *x, size_t size);

// Waits until all ranks are here.
void group_wait(const struct group *g);

#endif
