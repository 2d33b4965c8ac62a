// What a trainer knows of the run it is in: the MUSTER_* environment, and metrics as JSON lines to MUSTER_METRICS_FD.
// Not MPI and not sockets: how ranks talk to each other is each trainer's own affair.
#ifndef COMMON_RANK_H
#define COMMON_RANK_H
#include <stddef.h>

struct rank {
	int rank, size; // 0 and 1 when nobody set an environment
	int set;        // both MUSTER_RANK and MUSTER_SIZE were there
	int metrics_fd; // -1: nobody listens
};

// Reads MUSTER_RANK, MUSTER_SIZE and MUSTER_METRICS_FD; dies when one is there and makes no sense.
void rank_load(struct rank *r);

// Dies when the environment speaks of another rank or another size than the launcher's library (LIBRARY, "MPI") found.
void rank_check(const struct rank *r, const char *library, int found_rank, int found_size);

// Writes {"name":NAME,"value":VALUE,"step":STEP} and a newline as one write; a value that is no number is null. NAME
// needs no quoting. Does nothing when nobody listens; dies when the descriptor cannot be written.
void rank_metric(const struct rank *r, const char *name, double value, long step);

#endif
