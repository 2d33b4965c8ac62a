// The types of events, as one table: who writes each, which members it has, and when it is written.
// It makes and reads no event: wire/event does. The list in doc/events.md is generated from this table.
#ifndef WIRE_EVENT_TYPES_H
#define WIRE_EVENT_TYPES_H

#include <stdbool.h>

enum event_writer { EVENT_CONTROLLER = 1, EVENT_AGENT = 2 };

struct event_type {
	const char *name;
	unsigned writers;    // enum event_writer; an agent's event is accepted only if it may be an agent's
	bool metric;         // written to metrics.jsonl, not to events.jsonl
	const char *members; // beside "ts" and "type", separated by blanks
	const char *meaning; // Markdown
};

extern const struct event_type event_types[]; // ended by a row without a name

// NULL when there is no such type, or no name.
const struct event_type *event_types_find(const char *name);

#endif
