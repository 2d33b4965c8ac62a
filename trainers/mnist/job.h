// What all workers of one training agree on and tell each server, and how the parameters are dealt out to the servers.
// Not where the processes are (cluster.h) and not a process's own options (options.h).
#ifndef MNIST_JOB_H
#define MNIST_JOB_H
#include <stddef.h>
#include <stdint.h>

#define JOB_MAX_TASKS 1000 // servers, and workers

struct job {
	uint32_t hidden;
	uint32_t servers, workers;
	uint32_t replicas; // gradients to average for one step; 0: asynchronous
	uint64_t steps;    // global steps; 0: for ever
	uint64_t seed;
	double rate; // of Adam
};

// What is wrong with it, or NULL.
const char *job_check(const struct job *job);

// Whether two are of one training: all but how long it is to go on.
int job_same(const struct job *a, const struct job *b);

// The rows of parameters (net.h) that server SHARD keeps: from this one to before the next shard's.
size_t job_first_row(const struct job *job, uint32_t shard);

// How many those are, and how many floats.
size_t job_rows(const struct job *job, uint32_t shard);
size_t job_floats(const struct job *job, uint32_t shard);

#endif
