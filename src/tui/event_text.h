// The one line of text that a person reads about an event, or none.
// It does no I/O and draws no panel.
#ifndef TUI_EVENT_TEXT_H
#define TUI_EVENT_TEXT_H

#include <jansson.h>
#include <stddef.h>

struct event_text {
	double begun;         // when the run began; 0 before its first event
	size_t nodes, size;   // of the run
	size_t hellos;        // nodes that are there
	size_t pairs, failed; // of the preflight
	double latency;       // its slowest pair, seconds
	size_t files;         // brought back
	double bytes;         // of them
};

enum event_text_kind {
	EVENT_TEXT_NONE,    // not worth a line
	EVENT_TEXT_NEWS,    // it goes on as it should
	EVENT_TEXT_TROUBLE, // somebody should know
	EVENT_TEXT_END,     // the last line
};

// Takes the event in and makes its line, owned by the caller, without newline: "[  0.03 s] bring-up: 2 nodes"; NULL
// when it is not worth one.
char *event_text_line(struct event_text *s, const json_t *event, enum event_text_kind *kind);

// Counts of things: "1 node", "2 nodes". The caller owns the text.
char *event_text_count(size_t count, const char *what);

#endif
