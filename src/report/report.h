// The report: what a run was, from its directory alone: report.json, report.html, times.txt and text for a terminal.
// It asks no server, only whether the controller's process still runs; it writes nothing but these three files.
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "base/error.h"
#include "run/run.h"

#include <jansson.h>

// Everything about the run as one tree (the contents of report.json; doc/events.md describes it). Owned by the caller.
// A run that is still going, or whose controller was killed, gives what is known so far, and says so: outcome "running"
// or "lost".
json_t *report_make(const struct run *run, struct error *err);

// What status shows: the same tree with only the latest metrics and without curves, samples, inputs, outputs and argv.
json_t *report_summary(const struct run *run, struct error *err);

// What list shows, from the first and the last line of the log alone: id, name, executor, outcome, why, exit, nodes,
// size, started, seconds.
json_t *report_brief(const struct run *run, struct error *err);

char *report_text(const json_t *report); // for a terminal, at most some 40 lines, owned by the caller
char *report_html(const json_t *report, const struct run *run); // one self-contained page, owned by the caller

// Writes report.json, report.html and times.txt into the run directory.
int report_write(const struct run *run, struct error *err);

#endif
