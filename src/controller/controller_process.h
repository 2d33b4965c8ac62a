// A controller as a process of its own: starting it, letting it go, waiting for its end.
// It makes no plan and no run directory, and shows nothing.
#ifndef CONTROLLER_CONTROLLER_PROCESS_H
#define CONTROLLER_CONTROLLER_PROCESS_H

#include "base/error.h"
#include "controller/controller_options.h"

#include <stdbool.h>
#include <sys/types.h>

struct controller_process {
	pid_t pid;
	unsigned long long started; // its start time
	int leash;                  // our end: when it closes before the process was let go, the run is cancelled
};

// Starts it; the leash of the options is set here. detach: it goes on whatever becomes of us. Interrupts are blocked in
// this process until controller_process_wait or _close. -1 and err.
int controller_process_start(
	struct controller_process *p, const struct controller_options *options, bool detach, struct error *err);

// Waits until it has written its control.json. -1 and err when it ended before and said why; 0 when it ended without a
// word.
int controller_process_wait_started(const struct controller_process *p, const struct run *run, struct error *err);

void controller_process_let_go(const struct controller_process *p); // it goes on without us

// Waits for its end; its exit status, -1 when it was killed.
int controller_process_wait(const struct controller_process *p);
// Why it could not start, when it said so outside the run directory: -1 and err; otherwise 0.
int controller_process_read_why(const struct controller_process *p, struct error *err);

void controller_process_close(struct controller_process *p);

#endif
