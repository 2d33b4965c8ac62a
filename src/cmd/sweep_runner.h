// The runs of a sweep while they go on, some at a time, each a `muster run` of its own, and what is seen of
// them meanwhile. It decides neither what is run nor in which order: sweep_record does.
#ifndef CMD_SWEEP_RUNNER_H
#define CMD_SWEEP_RUNNER_H

#include "base/error.h"
#include "compare/sweep_record.h"

#include <jansson.h>
#include <stddef.h>

struct sweep_runner_options {
	const char *job, *runs, *site, *prices; // the last two may be NULL
	const json_t *before, *after;           // what is set for all runs, before and after what is set for the point
	size_t at_once;
	double iterations; // after which a run is stopped; 0: not known
};

// Makes all runs of the sweep that are not over, and says on standard error how they do, with a table of those that go
// on when that is a terminal. SIGINT and SIGTERM end those that go on; a run that was interrupted does not count. 0,
// ERROR_CANCELLED when it was interrupted, or -1 and err.
int sweep_runner_run(const struct sweep_runner_options *options, struct sweep_record *record, struct error *err);

#endif
