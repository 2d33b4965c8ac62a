// A child of the agent that runs one function in a copy of the agent: straight-line work that may block, and that can
// be killed. What it has to say it writes as JSON lines; they arrive here as trees.
#ifndef AGENT_FORKED_TASK_H
#define AGENT_FORKED_TASK_H

#include "base/error.h"
#include "base/loop.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct forked_task;

struct forked_task_options {
	// Runs in the child: out is where lines go, control becomes readable when the child should end, keep is what it
	// was given. Its return value is the child's exit status.
	int (*work)(int out, int control, void *data);
	void *work_data;
	int keep;                                  // one more descriptor the child may use, or -1
	void (*on_line)(json_t *line, void *data); // borrowed
	void (*on_exit)(int status, void *data);   // exit status, or 128 + signal; the child is freed after it
	void *data;
};

struct forked_task *forked_task_start(struct loop *loop, const struct forked_task_options *options, struct error *err);

// Leaves its lines where they are, so that it has to wait with further ones. Some may still come: those that were read
// already, and at its end all that it had written.
void forked_task_pause(struct forked_task *child, bool paused);

void forked_task_end(struct forked_task *child);  // asks it to end by its control descriptor; takes NULL
void forked_task_kill(struct forked_task *child); // SIGKILL; nothing is called any more; takes NULL

#endif
