// Reads what ranks print as it passes: metrics and progress by pattern, and the last lines of each.
// It keeps no output: that is spooled elsewhere.
#ifndef NODE_OUTPUT_PARSER_H
#define NODE_OUTPUT_PARSER_H

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>

struct output_parser;

// on_event gets `metric` and `progress` events (taken by it) without node and rank; local is the rank they are of. plan
// (may be NULL: only the last lines are kept) gives "metrics", "progress", "total" and "watched". NULL and err when a
// pattern does not compile.
struct output_parser *output_parser_new(const json_t *plan, size_t nlocal,
	void (*on_event)(size_t local, json_t *event, void *data), void *data, struct error *err);
void output_parser_free(struct output_parser *scan); // takes NULL

// Output in pieces of any size. Lines end with \n or \r; only the first 64 KiB of a line are looked at.
void output_parser_output(struct output_parser *scan, size_t local, const void *bytes, size_t len);
void output_parser_end(
	struct output_parser *scan, size_t local); // no more output: what stands without an end of line is a line too

// Says (a `warn` event) of which ranks no line has matched by now, when the plan's "watched" seconds have passed since
// their first output: call it now and then.
void output_parser_watch(struct output_parser *scan);

// One line a program wrote to MUSTER_METRICS_FD: {"name": text, "value": number, "step": integer, "unit": text}, the
// last two optional. Other lines are passed over.
void output_parser_json_line(struct output_parser *scan, size_t local, const char *line, size_t len);

// The last lines, oldest first, clean UTF-8, each cut to 400 bytes: a new array of strings.
json_t *output_parser_last(const struct output_parser *scan, size_t local);

#endif
