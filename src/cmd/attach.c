#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "tui/viewer.h"

#include <stdbool.h>

static const struct options_usage usage = {
	.arguments = "[RUN]",
	.most = 1,
	.about = "Follows a run (default: the latest) until it ends. Ctrl-C stops following; the run continues. Of a "
		 "run that has ended, prints only the end.\n\n"
		 "Exit status: that of the run; 0 after Ctrl-C; 3 when the run's controller was "
		 "killed." OPTIONS_ABOUT_RUN,
};

int cmd_attach(int argc, char **argv, struct error *err)
{
	const char *runs = NULL;
	bool json = false, quiet = false;
	const struct option_row rows[] = {
		OPTIONS_RUNS(&runs),
		{"json", 0, NULL, "print only the events, one JSON object per line", &json},
		{"quiet", 'q', NULL, "print only problems and the end", &quiet},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	struct run *run = run_open(runs, argv[first], err);
	if (!run)
		return -1;
	autojson json_t *control = NULL;
	bool alive = run_alive(run, &control);
	struct viewer_options options = {.json = json, .quiet = quiet || !alive};
	options.controller = (pid_t)json_integer_value(json_object_get(control, "pid"));
	options.started = (unsigned long long)json_integer_value(json_object_get(control, "started"));
	int rc = viewer_follow(run, &options, err);
	run_free(run);
	return rc;
}
