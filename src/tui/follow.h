// Following a run directory: the whole lines of its logs and of its ranks' outputs, handed out soon after they are
// written. It does not know what a line means and prints nothing.
#ifndef TUI_FOLLOW_H
#define TUI_FOLLOW_H

#include "base/error.h"
#include "run/run.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Each returns 0; anything else stops the reading at once. Members may be NULL: those files are not read then.
struct follow_calls {
	// A line of events.jsonl (with its newline). What its rank printed is handed out before an exit event, what all
	// ranks printed before the end.
	int (*on_event)(json_t *event, const char *line, size_t len, void *data);
	// A line of metrics.jsonl.
	int (*on_metric)(json_t *event, void *data);
	// Bytes of a rank: whole lines, byte by byte as printed. A line too long for the memory given to it comes in
	// pieces, and nothing of another rank comes between them. The last bytes of a rank that ended may lack the
	// newline.
	int (*on_output)(size_t rank, const char *bytes, size_t len, void *data);
	// The end, of some hundred bytes, of a line a rank has not finished yet. It comes again with on_output when it
	// is.
	int (*on_partial)(size_t rank, const char *bytes, size_t len, void *data);
	void *data;
};

struct follow;

// Begins at the start of every file. The run and the calls stay the caller's and must outlive it. NULL and err when
// there is no event log.
struct follow *follow_open(const struct run *run, const struct follow_calls *calls, struct error *err);
void follow_close(struct follow *f);

// Ranks that have already printed more than this many bytes begin that far before the end, at a line. Returns whether
// any does.
bool follow_skip(struct follow *f, size_t bytes);

// That rank begins at offset, where a line should begin; UINT64_MAX: it is never read. It need not have printed
// anything yet.
void follow_begin(struct follow *f, size_t rank, uint64_t offset);

// A descriptor that is readable when something was written; -1 when this machine has none to give: then read ten times
// a second.
int follow_fd(const struct follow *f);

enum { FOLLOW_DONE, FOLLOW_MORE, FOLLOW_STOPPED };

// Hands out what is new: FOLLOW_DONE when that was all, FOLLOW_MORE when it was a great deal and the rest waits for the
// next call, FOLLOW_STOPPED when a call returned non-zero. *bytes (may be NULL) is how much output that was. -1 when a
// file cannot be read.
int follow_read(struct follow *f, size_t *bytes, struct error *err);

// The same when nobody will write any more: all of it, unfinished last lines too.
int follow_finish(struct follow *f, struct error *err);

#endif
