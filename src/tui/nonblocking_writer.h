// A descriptor that a reader may read slowly or leave. Writing never blocks past a wake-up, and a reader that left is
// no error. It formats nothing.
#ifndef TUI_NONBLOCKING_WRITER_H
#define TUI_NONBLOCKING_WRITER_H

#include <stdbool.h>
#include <stddef.h>

struct nonblocking_writer {
	int fd;
	bool own;    // fd is to be closed
	bool waits;  // writing could block: ask first
	bool closed; // nobody reads any more, or we gave up: what is written goes nowhere
	int wake;    // a descriptor; when it is readable while the reader is slow, on_wake is called. -1 for none
	bool (*on_wake)(void *data); // true: give up
	void *data;
};

// Writes to what fd leads to. Pipes and terminals are opened anew, so that not blocking is nobody else's surprise.
// SIGPIPE must be ignored.
void nonblocking_writer_init(struct nonblocking_writer *o, int fd, int wake, bool (*on_wake)(void *data), void *data);
void nonblocking_writer_fini(struct nonblocking_writer *o);

void nonblocking_writer_write(struct nonblocking_writer *o, const void *bytes, size_t len);

#endif
