// The command line of mnist.
// Not the cluster (cluster.h), which may be given by the environment as well.
#ifndef MNIST_OPTIONS_H
#define MNIST_OPTIONS_H
#include <stdbool.h>

struct options {
	const char *ps_hosts, *worker_hosts, *job_name; // NULL: not given
	long task_index;                                // -1: not given
	long batch_size, train_steps, hidden_units, replicas_to_aggregate, seed;
	double learning_rate;
	bool sync_replicas;
	const char *data_dir, *log_dir;
};

// Reads the command line. On --help prints it and exits 0; on anything wrong prints one line that says what and
// exits 2. The strings are argv's.
void options_parse(struct options *o, int argc, char **argv);

#endif
