// A run: one directory, the only state there is.
// It has one writer, the controller; everybody else reads, and ignores a torn last line.
//
//   job.yaml plan.json events.jsonl metrics.jsonl ranks/output-R.txt outputs/node-N/... report.json report.html
//   times.txt
//   ranks/index.jsonl  {ts, rank, offset}, at most one a second for each rank: what was appended from that offset on
//   came at ts or later
//   control.json   only while the controller lives, mode 0600: {pid, started, url, fingerprint, token}
#ifndef RUN_RUN_H
#define RUN_RUN_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct run {
	char *id; // "dcgan-20261122-104512-3f9a": the label on everything the run makes; lower case, digits and '-', at
		  // most 63
	char *dir;               // absolute
	struct run_files *files; // the writer's open descriptors, NULL before it has written anything
};

// --- the writer -------------------------------------------------------------

// Makes runs/ID with job.yaml (text of the file), plan.json and empty logs. runs is created when missing. NULL on
// error, nothing is left then.
struct run *run_create(const char *runs, const char *name, const char *job_text, size_t job_len, const json_t *plan,
	struct error *err);

// Appends one line to events.jsonl or metrics.jsonl (by the event's type); the line is in the file when it returns.
int run_event(struct run *run, const json_t *event, struct error *err);

// Appends a line an agent has sent, as it is (len without newline), to the file its type belongs to.
int run_line(struct run *run, bool metric, const char *line, size_t len, struct error *err);

// Appends bytes to ranks/output-R.txt, written through; at most 256 of these files are held open.
int run_output(struct run *run, size_t rank, const void *bytes, size_t len, struct error *err);

// --- readers ----------------------------------------------------------------

// Finds a run by its id, a unique prefix of it, a path to its directory, or "latest" (or NULL, the same). NULL and err
// when there is none or more than one.
struct run *run_open(const char *runs, const char *name, struct error *err);
void run_free(struct run *run); // closes the writer's files too

char *run_path(const struct run *run, const char *name); // "DIR/name", owned by the caller

// All runs below runs, newest first: an array of strings (ids). An absent directory is an empty array.
json_t *run_list(const char *runs);

// Calls on_event for each whole line of events.jsonl (metrics.jsonl when metrics) from *offset on and advances it;
// stops when on_event returns non-zero and returns that. Lines that are no events are skipped. -1 and err when the file
// cannot be read.
int run_read(const struct run *run, bool metrics, uint64_t *offset, int (*on_event)(json_t *event, void *data),
	void *data, struct error *err);

// The controller of this run, from control.json: is it alive (pid and start time)? *control (may be NULL) gets the
// tree, owned by the caller.
bool run_alive(const struct run *run, json_t **control);

#endif
