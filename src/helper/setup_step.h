// A setup step that needs root, or has an image, in a process of its own: `muster-agent step FILE`, standard input a
// line to the agent. It waits for no other node and says nothing to the controller: its output goes to the agent that
// started it.
//
// FILE holds the step as the plan has it, placeholders filled, "dir", where it works, and "node_dir", the node's. The
// first thing the process says is a line, "muster-step begun" or "muster-step skipped WHY". Who is not root and finds
// something to do becomes `sudo -n -- muster-agent step FILE` before that: what comes before the line is sudo's, and
// without it sudo has refused. When the line of standard input ends, the step and everything it started are killed.
// What the step itself leaves running goes on until then.
#ifndef HELPER_SETUP_STEP_H
#define HELPER_SETUP_STEP_H

#include "base/str.h"
#include "job/plan.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// The process's life; its exit status is the command's, or as helper/step_command.h says.
int setup_step_main(const char *file);

// The life of `muster-agent unmount DIR`, as root: takes back what node/mounts.h notes there.
int setup_step_unmount(const char *dir);

// The life of `muster-agent unblock DIR`, as root: see mounts_abort.
int setup_step_unblock(const char *dir);

// Does the step need root?
bool setup_step_needs_root(const struct plan_step *step);

// Why there is nothing to do, for people, owned by the caller; NULL when there is. Only packages and images make it
// block.
char *setup_step_is_done(const json_t *step);

// What the process says before its own output. Zeroed is a good start.
struct setup_step_head {
	struct str text; // sudo's, as long as nothing has begun
	bool begun;
	char *skipped; // or NULL
};

// Takes bytes of output until it has begun; returns how many of these bytes it took.
size_t setup_step_head_take(struct setup_step_head *head, const void *bytes, size_t len);
void setup_step_head_fini(struct setup_step_head *head); // a good start again

#endif
