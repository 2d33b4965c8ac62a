// The story of a run: the one line that a person reads of an event, or none.
// It does no I/O and draws no panel.
#ifndef TUI_STORY_H
#define TUI_STORY_H

#include <jansson.h>
#include <stddef.h>

struct story {
	double begun;         // when the run began; 0 before its first event
	size_t nodes, size;   // of the run
	size_t hellos;        // nodes that are there
	size_t pairs, failed; // of the preflight
	double latency;       // its slowest pair, seconds
	size_t files;         // brought back
	double bytes;         // of them
};

enum story_kind {
	STORY_NONE,    // not worth a line
	STORY_NEWS,    // it goes on as it should
	STORY_TROUBLE, // somebody should know
	STORY_END,     // the last line
};

// Takes the event in and makes its line, owned by the caller, without newline: "[  0.03 s] bring-up: 2 nodes"; NULL
// when it is not worth one.
char *story_line(struct story *s, const json_t *event, enum story_kind *kind);

// Counts of things: "1 node", "2 nodes". The caller owns the text.
char *story_count(size_t count, const char *what);

#endif
