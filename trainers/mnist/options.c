#include "mnist/options.h"

#include "common/cli.h"
#include "mnist/net.h"

#include <limits.h>
#include <stddef.h>

#define FASHION_DIR "/usr/share/datasets/fashion-mnist" // Debian's package dataset-fashion-mnist

#define AT(member) offsetof(struct options, member)

static const struct cli_row rows[] = {
	{"ps_hosts", "LIST", CLI_TEXT, AT(ps_hosts),
		.help = "HOST:PORT of every parameter server, with commas; else PS_HOSTS, else TF_CONFIG"},
	{"worker_hosts", "LIST", CLI_TEXT, AT(worker_hosts),
		.help = "the same of every worker; else WORKER_HOSTS, else TF_CONFIG"},
	{"job_name", "NAME", CLI_TEXT, AT(job_name), .help = "ps or worker; else JOB_NAME, else TF_CONFIG"},
	{"task_index", "N", CLI_NUMBER, AT(task_index), -1, 999, -1,
		.help = "which of those; else TASK_INDEX, the end of POD_NAME, or TF_CONFIG"},
	{"batch_size", "N", CLI_NUMBER, AT(batch_size), 1, 60000, 100, .help = "images in a worker's step"},
	{"learning_rate", "X", CLI_REAL, AT(learning_rate), .real_initial = 0.01,
		.help = "of Adam; asynchronous: divided by 1 + the age of a gradient in steps"},
	{"train_steps", "N", CLI_NUMBER, AT(train_steps), 0, LONG_MAX, 200,
		.help = "global steps, of all workers together; 0: for ever"},
	{"hidden_units", "N", CLI_NUMBER, AT(hidden_units), 1, NET_MAX_HIDDEN, 100, .help = "in the hidden layer"},
	{"sync_replicas", NULL, CLI_FLAG, AT(sync_replicas),
		.help = "a step is the mean of several workers' gradients"},
	{"replicas_to_aggregate", "N", CLI_NUMBER, AT(replicas_to_aggregate), 0, 1000, 0,
		.help = "of so many; 0: of all workers'"},
	{"data_dir", "DIR", CLI_TEXT, AT(data_dir), .help = "files of MNIST or Fashion-MNIST (" FASHION_DIR ")"},
	{"log_dir", "DIR", CLI_TEXT, AT(log_dir),
		.help = "where servers keep their state and the model is written; made when missing (.)"},
	{"seed", "N", CLI_NUMBER, AT(seed), 0, LONG_MAX, 1, .help = "of weights and the order of the images"},
	{"help", NULL, CLI_HELP, .help = "this text"},
};

static const struct cli cli = {"mnist",
	"Trains a network to tell digits or clothes, alone or as one of several parameter servers and workers.", rows,
	sizeof rows / sizeof *rows};

void options_parse(struct options *o, int argc, char **argv)
{
	*o = (struct options){.data_dir = FASHION_DIR, .log_dir = "."};
	cli_parse(&cli, o, argc, argv);
	if (o->replicas_to_aggregate && !o->sync_replicas)
		cli_usage(&cli, "--replicas_to_aggregate means nothing without --sync_replicas");
}
