// Which nodes of a cluster still have to remove what one job left on them.
// It sends nothing and decides nothing: it counts the answers of one job, whatever other jobs are cleaned up beside it.
#ifndef CONTROLLER_JOB_CLEANUP_H
#define CONTROLLER_JOB_CLEANUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job_cleanup {
	struct job_cleanup_node {
		bool pending;
		uint32_t errand; // whose end is its answer; 0: it is away and is asked when it is back
	} * nodes;
	size_t count, pending;
};

void job_cleanup_start(struct job_cleanup *c, size_t count); // no node is pending yet
void job_cleanup_fini(struct job_cleanup *c);                // also of one that is all zero

// From now on this node is pending; an errand that it had before does not count any more.
void job_cleanup_ask(struct job_cleanup *c, size_t node, uint32_t errand);

// False for a node that is not one of the job's.
bool job_cleanup_is_pending(const struct job_cleanup *c, size_t node);

// The errand is over. False when it was not this job's.
bool job_cleanup_answer(struct job_cleanup *c, size_t node, uint32_t errand);

// The node will not answer. False when it was not pending.
bool job_cleanup_give_up(struct job_cleanup *c, size_t node);

#endif
