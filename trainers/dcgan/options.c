#include "dcgan/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FASHION_ROOT "/usr/share/datasets/fashion-mnist" // Debian's package dataset-fashion-mnist

enum kind { KIND_NUMBER, KIND_TEXT, KIND_DATASET, KIND_FLAG, KIND_HELP };

struct row {
	const char *name, *argument;
	enum kind kind;
	size_t offset; // in struct options
	long low, high, initial;
	const char *help;
};

static const char *const dataset_names[] = {
        [DATASET_CIFAR10] = "cifar10", [DATASET_MNIST] = "mnist", [DATASET_FASHION] = "fashion", [DATASET_FOLDER] = "folder",
        [DATASET_AUTO] = "auto"};

#define AT(member) offsetof(struct options, member)

static const struct row rows[] = {
        {"dataset", "NAME", KIND_DATASET, AT(dataset), 0, 0, DATASET_FASHION, "cifar10, mnist, fashion, folder, or auto: what the files in DIR are"},
        {"dataroot", "DIR", KIND_TEXT, AT(dataroot), 0, 0, 0, "where its files are (fashion: " FASHION_ROOT ")"},
        {"image_size", "N", KIND_NUMBER, AT(image_size), 16, 1024, 64, "edge of the images, a power of two"},
        {"batch_size", "N", KIND_NUMBER, AT(batch_size), 1, 65536, 128, "images a rank takes per iteration"},
        {"num_epochs", "N", KIND_NUMBER, AT(num_epochs), 1, 1000000, 5, "times through the data"},
        {"max_iters", "N", KIND_NUMBER, AT(max_iters), 0, LONG_MAX, 0, "stop after so many iterations in all; 0: do not"},
        {"test_data", NULL, KIND_FLAG, AT(test_data), 0, 0, 0, "train on the test split"},
        {"out_folder", "DIR", KIND_TEXT, AT(out_folder), 0, 0, 0, "where the pictures go; made when missing (.)"},
        {"seed", "N", KIND_NUMBER, AT(seed), 0, LONG_MAX, 1, "of weights, noise and the order of the images"},
        {"threads", "N", KIND_NUMBER, AT(threads), 0, 4096, 0, "of each rank; 0: this machine's cores shared among its ranks"},
        {"init", "FILE", KIND_TEXT, AT(init), 0, 0, 0, "initial weights and all noise from FILE (see README.md)"},
        {"help", NULL, KIND_HELP, 0, 0, 0, 0, "this text"},
};
#define ROWS (int)(sizeof rows / sizeof *rows)

__attribute__((noreturn, format(printf, 1, 2))) static void usage(const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fprintf(stderr, "dcgan: %s; see dcgan --help\n", text);
	exit(2);
}

static void print_help(void)
{
	printf("Usage: dcgan [OPTION...]\nTrains a DCGAN on images, alone or as one of several MPI ranks.\n\n");
	for (int i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];
		char left[40];
		snprintf(left, sizeof left, "--%s%s%s", r->name, r->argument ? " " : "", r->argument ? r->argument : "");
		printf("  %-18s %s", left, r->help);
		if (r->kind == KIND_NUMBER)
			printf(" (%ld)", r->initial);
		else if (r->kind == KIND_DATASET)
			printf(" (%s)", dataset_names[r->initial]);
		putchar('\n');
	}
}

static long number(const struct row *r, const char *text)
{
	char *end;
	errno = 0;
	long n = strtol(text, &end, 10);
	if (end == text || *end || errno || n < r->low || n > r->high) {
		if (r->high == LONG_MAX)
			usage("--%s is '%s', expected a whole number of at least %ld", r->name, text, r->low);
		usage("--%s is '%s', expected a whole number from %ld to %ld", r->name, text, r->low, r->high);
	}
	return n;
}

static enum dataset dataset(const char *text)
{
	for (int i = 0; i < (int)(sizeof dataset_names / sizeof *dataset_names); i++)
		if (!strcmp(text, dataset_names[i]))
			return (enum dataset)i;
	usage("--dataset is '%s', expected cifar10, mnist, fashion, folder or auto", text);
}

static void set(struct options *o, const struct row *r, const char *text)
{
	void *member = (char *)o + r->offset;
	switch (r->kind) {
	case KIND_NUMBER:
		*(long *)member = number(r, text);
		break;
	case KIND_DATASET:
		*(enum dataset *)member = dataset(text);
		break;
	case KIND_FLAG:
		*(bool *)member = true;
		break;
	case KIND_TEXT:
		if (!*text)
			usage("--%s is empty", r->name);
		*(const char **)member = text;
		break;
	case KIND_HELP:
		print_help();
		exit(0);
	}
}

static void set_initial(struct options *o)
{
	*o = (struct options){.out_folder = "."};
	for (int i = 0; i < ROWS; i++) {
		void *member = (char *)o + rows[i].offset;
		if (rows[i].kind == KIND_NUMBER)
			*(long *)member = rows[i].initial;
		else if (rows[i].kind == KIND_DATASET)
			*(enum dataset *)member = (enum dataset)rows[i].initial;
	}
}

static void check(struct options *o)
{
	if (o->image_size & (o->image_size - 1))
		usage("--image_size is %ld, expected a power of two", o->image_size);
	if (!o->dataroot && o->dataset == DATASET_FASHION)
		o->dataroot = FASHION_ROOT;
	if (!o->dataroot)
		usage("--dataset %s needs --dataroot", dataset_names[o->dataset]);
	if (o->test_data && o->dataset == DATASET_FOLDER)
		usage("--test_data: a folder has no test split; name the folder with --dataroot");
}

void options_parse(struct options *o, int argc, char **argv)
{
	struct option table[ROWS + 1];
	for (int i = 0; i < ROWS; i++)
		table[i] = (struct option){rows[i].name, rows[i].argument ? required_argument : no_argument, NULL, i + 1};
	table[ROWS] = (struct option){0};
	set_initial(o);
	opterr = 0;
	optind = 0; // GNU: start anew
	int c;
	while ((c = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		const char *word = argv[optind > 0 ? optind - 1 : 0];
		if (c == ':')
			usage("option '%s' needs a value", word);
		if (c == '?')
			usage("option '%s' is unknown, ambiguous, or takes no value", word);
		set(o, &rows[c - 1], optarg);
	}
	if (optind < argc)
		usage("'%s' is not an option", argv[optind]);
	check(o);
}
