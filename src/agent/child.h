// A child of the agent that runs one function in a copy of the agent: straight-line work that may block, and that can
// be killed. What it has to say it writes as JSON lines; they arrive here as trees.
#ifndef AGENT_CHILD_H
#define AGENT_CHILD_H

#include "base/error.h"
#include "base/loop.h"

#include <jansson.h>
#include <stddef.h>

struct child;

struct child_options {
	// Runs in the child: out is where lines go, control becomes readable when the child should end, keep is what it
	// was given. Its return value is the child's exit status.
	int (*work)(int out, int control, void *data);
	void *work_data;
	int keep;                                  // one more descriptor the child may use, or -1
	void (*on_line)(json_t *line, void *data); // borrowed
	void (*on_exit)(int status, void *data);   // exit status, or 128 + signal; the child is freed after it
	void *data;
};

struct child *child_start(struct loop *loop, const struct child_options *options, struct error *err);
void child_end(struct child *child);  // asks it to end by its control descriptor; takes NULL
void child_kill(struct child *child); // SIGKILL; nothing is called any more; takes NULL

#endif
