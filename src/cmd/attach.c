#include "base/mem.h"
#include "cmd/cmd.h"
#include "tui/viewer.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
	"usage: muster attach [RUN] [--runs DIR] [--json] [--quiet]\n"
	"\n"
	"Shows a run as it goes on, until it ends. Ctrl-C leaves it; the run goes on.\n"
	"RUN is an id, the beginning of one, a directory, or 'latest', which is also what is meant without it.\n"
	"Of a run that is over only its end is shown.\n"
	"\n"
	"      --runs DIR  where the runs are (default: $MUSTER_RUNS, else runs)\n"
	"      --json      print the events as JSON lines and nothing else\n"
	"  -q, --quiet     print only problems and the end\n"
	"  -h, --help      print this text\n"
	"\n"
	"Exit status: that of the run; 0 when you left it; 3 when its controller was killed.\n";

struct arguments {
	const char *runs, *run;
	bool json, quiet, help;
};

static int parse(int argc, char **argv, struct arguments *a, struct error *err)
{
	static const struct option known[] = {{"runs", required_argument, NULL, 'r'}, {"json", no_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *set = getenv("MUSTER_RUNS");
	*a = (struct arguments){.runs = set && *set ? set : "runs"};
	optind = 0;
	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, ":qh", known, NULL)) >= 0;) {
		if (c == ':' || c == '?')
			return error_set(err, ERROR_USAGE,
				"attach: %s '%s', expected --runs, --json, --quiet or --help",
				c == ':' ? "a value is missing after" : "unknown option", argv[optind - 1]);
		a->runs = c == 'r' ? optarg : a->runs;
		a->json |= c == 'j';
		a->quiet |= c == 'q';
		a->help |= c == 'h';
	}
	if (argc - optind > 1)
		return error_set(err, ERROR_USAGE, "attach: found %d runs, expected at most one", argc - optind);
	a->run = argv[optind];
	return 0;
}

int cmd_attach(int argc, char **argv, struct error *err)
{
	struct arguments a;
	if (parse(argc, argv, &a, err) < 0)
		return -1;
	if (a.help)
		return fputs(usage, stdout) == EOF;
	struct run *run = run_open(a.runs, a.run, err);
	if (!run)
		return -1;
	autojson json_t *control = NULL;
	bool alive = run_alive(run, &control);
	struct viewer_options options = {.json = a.json, .quiet = a.quiet || !alive};
	options.controller = (pid_t)json_integer_value(json_object_get(control, "pid"));
	options.started = (unsigned long long)json_integer_value(json_object_get(control, "started"));
	int rc = viewer_follow(run, &options, err);
	run_free(run);
	return rc;
}
