// An event: one thing that happened, one JSON object on one line. The message on the wire, the line in the log and what
// the report reads are the same. It does not travel by itself: conn carries it, run writes it down.
//
// Every event has "ts" (seconds since 1970, double) and "type"; "node" and "rank" where they apply. The types are a
// table, wire/event_types.
#ifndef WIRE_EVENT_H
#define WIRE_EVENT_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// A new event of that type with ts set to now, then the members of fmt (as json_pack's inside of an object: "s:i,
// s:s"); fmt may be "".
json_t *event_make(const char *type, const char *fmt, ...);

// One line, ended by a newline, no newline inside; owned by the caller.
char *event_print(const json_t *event);

// Reads one line (without or with its newline): an object with ts and a known type, depth and size bounded. NULL and
// err when it is not.
json_t *event_parse(const char *line, size_t len, struct error *err);

const char *event_type(const json_t *event);
bool event_is(const json_t *event, const char *type);

// Does this type belong into metrics.jsonl?
bool event_is_metric(const json_t *event);

// Is it of a type that agents write?
bool event_is_from_node(const json_t *event);

#endif
