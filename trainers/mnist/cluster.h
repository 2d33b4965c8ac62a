// Who this process is among servers and workers: from the command line, else from PS_HOSTS, WORKER_HOSTS, JOB_NAME,
// TASK_INDEX or POD_NAME, else from TF_CONFIG. Not how to reach the others (wire.h).
#ifndef MNIST_CLUSTER_H
#define MNIST_CLUSTER_H
#include <stdint.h>

enum cluster_role { CLUSTER_ALONE, CLUSTER_PS, CLUSTER_WORKER };

struct cluster {
	enum cluster_role role;
	uint32_t index;
	char **ps, **workers; // HOST:PORT each
	uint32_t ps_count, worker_count;
};

// The command line's words; NULL and -1: not given.
struct cluster_words {
	const char *ps_hosts, *worker_hosts, *job_name;
	long task_index;
};

// Nothing said anywhere is CLUSTER_ALONE. Anything that is incomplete or makes no sense prints one line and exits 2.
void cluster_init(struct cluster *c, const struct cluster_words *words);
void cluster_fini(struct cluster *c);

#endif
