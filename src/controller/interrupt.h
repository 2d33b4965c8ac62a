// Ctrl-C, once and twice: the first interrupt stops a run gently, the second at once. SIGINT and SIGTERM are the same.
// It stops nothing itself: controller does, when it reads an interrupt here.
//
// The terminal's Ctrl-C reaches the process that shows the run (tui/viewer), which passes it to the controller's
// process; `muster cancel` sends the same signal.
#ifndef CONTROLLER_INTERRUPT_H
#define CONTROLLER_INTERRUPT_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

enum interrupt_rule { INTERRUPT_NONE, INTERRUPT_GENTLY, INTERRUPT_AT_ONCE };

struct interrupt {
	const char *signal; // "INT", "TERM"
	bool cluster_down;  // it comes from the controller of the cluster that the run is on: the cluster goes down
};

// What so many interrupts ask for.
enum interrupt_rule interrupt_rule(int count);
// What the user is told after so many: "stopping gently; Ctrl-C again stops at once".
const char *interrupt_text(int count);

// --- who sends ---

// Sends one. 0 also when the process has ended.
int interrupt_send(int pidfd, struct error *err);
// Sends one to the controller of a job: the cluster it is on goes down.
void interrupt_send_cluster_down(pid_t pid);

// Interrupts that come between these two wait: for a process that is about to read them.
void interrupt_block(void);
void interrupt_unblock(void);

// --- who receives ---

// A descriptor from which interrupts are read; the end of the terminal (SIGHUP) is ignored. -1 and err.
int interrupt_open(struct error *err);
// The next one that has come, or false.
bool interrupt_next(int fd, struct interrupt *interrupt);

#endif
