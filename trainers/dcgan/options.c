#include "dcgan/options.h"

#include "common/cli.h"

#include <limits.h>
#include <stddef.h>

#define FASHION_ROOT "/usr/share/datasets/fashion-mnist" // Debian's package dataset-fashion-mnist

static const char *const dataset_names[] = {[DATASET_CIFAR10] = "cifar10",
	[DATASET_MNIST] = "mnist",
	[DATASET_FASHION] = "fashion",
	[DATASET_FOLDER] = "folder",
	[DATASET_AUTO] = "auto",
	NULL};

static const char *const conv_names[] = {[LAYER_DIRECT] = "direct", [LAYER_WINOGRAD] = "winograd", NULL};

#define AT(member) offsetof(struct options, member)

static const struct cli_row rows[] = {
	{"dataset", "NAME", CLI_CHOICE, AT(dataset), .initial = DATASET_FASHION, .names = dataset_names,
		.help = "cifar10, mnist, fashion, folder, or auto: what the files in DIR are"},
	{"dataroot", "DIR", CLI_TEXT, AT(dataroot), .help = "where its files are (fashion: " FASHION_ROOT ")"},
	{"image_size", "N", CLI_NUMBER, AT(image_size), 16, 1024, 64, .help = "edge of the images, a power of two"},
	{"batch_size", "N", CLI_NUMBER, AT(batch_size), 1, 65536, 128, .help = "images a rank takes per iteration"},
	{"num_epochs", "N", CLI_NUMBER, AT(num_epochs), 1, 1000000, 5, .help = "times through the data"},
	{"max_iters", "N", CLI_NUMBER, AT(max_iters), 0, LONG_MAX, 0,
		.help = "stop after so many iterations in all; 0: do not"},
	{"test_data", NULL, CLI_FLAG, AT(test_data), .help = "train on the test split"},
	{"out_folder", "DIR", CLI_TEXT, AT(out_folder), .help = "where the pictures go; made when missing (.)"},
	{"seed", "N", CLI_NUMBER, AT(seed), 0, LONG_MAX, 1, .help = "of weights, noise and the order of the images"},
	{"threads", "N", CLI_NUMBER, AT(threads), 0, 4096, 0,
		.help = "of each rank; 0: this machine's cores shared among its ranks"},
	{"conv", "WAY", CLI_CHOICE, AT(conv), .initial = LAYER_WINOGRAD, .names = conv_names,
		.help = "how convolutions are computed: direct (oneDNN's) or winograd where it fits"},
	{"init", "FILE", CLI_TEXT, AT(init), .help = "initial weights and all noise from FILE (see README.md)"},
	{"checkpoint", "DIR", CLI_TEXT, AT(checkpoint),
		.help = "where the state of the training is kept; made when missing"},
	{"every", "N", CLI_NUMBER, AT(every), 0, LONG_MAX, 0,
		.help = "iterations from one checkpoint to the next; 0: only one at the end"},
	{"resume", NULL, CLI_FLAG, AT(resume),
		.help = "go on from the checkpoint in DIR, from the beginning when there is none"},
	{"generate", "N", CLI_NUMBER, AT(generate), 0, 1000000, 0,
		.help = "do not train: write N images from the checkpoint in DIR"},
	{"help", NULL, CLI_HELP, .help = "this text"},
};

static const struct cli cli = {
	"dcgan", "Trains a DCGAN on images, alone or as one of several MPI ranks.", rows, sizeof rows / sizeof *rows};

static void check(struct options *o)
{
	if (o->image_size & (o->image_size - 1))
		cli_usage(&cli, "--image_size is %ld, expected a power of two", o->image_size);
	if (!o->checkpoint && (o->every || o->resume || o->generate))
		cli_usage(&cli, "--%s needs --checkpoint", o->every ? "every" : o->resume ? "resume" : "generate");
	if (o->generate && (o->every || o->resume || o->init))
		cli_usage(&cli, "--generate does not train: --%s means nothing with it",
			o->every    ? "every"
			: o->resume ? "resume"
				    : "init");
	if (o->generate)
		return;
	if (!o->dataroot && o->dataset == DATASET_FASHION)
		o->dataroot = FASHION_ROOT;
	if (!o->dataroot)
		cli_usage(&cli, "--dataset %s needs --dataroot", dataset_names[o->dataset]);
	if (o->test_data && o->dataset == DATASET_FOLDER)
		cli_usage(&cli, "--test_data: a folder has no test split; name the folder with --dataroot");
}

void options_parse(struct options *o, int argc, char **argv)
{
	*o = (struct options){.out_folder = "."};
	cli_parse(&cli, o, argc, argv);
	check(o);
}
