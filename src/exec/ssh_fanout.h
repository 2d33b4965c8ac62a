// One script on many hosts, by ssh, a few at a time.
// It does not know what the script is for, but that one which went well says "muster-done", and trouble
// "muster-trouble WHY" (helper/leftovers.h).
#ifndef EXEC_SSH_FANOUT_H
#define EXEC_SSH_FANOUT_H

#include "exec/ssh_process.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct ssh_fanout {
	const json_t *host; // borrowed
	double connect;     // seconds for that
	struct ssh_process ssh;
	int out; // a file in memory
	// What came of it.
	bool done;
	bool silent; // it was not reached, or has not ended in time
	char *text;  // its output
	char *words; // why it is not done; "" or NULL when nobody says
};

// One for each host. Freed by ssh_fanout_free.
struct ssh_fanout *ssh_fanout_list(const json_t *hosts, double connect);
void ssh_fanout_free(struct ssh_fanout *all, size_t count);

// Starts as many as may be under way, waits for them in their order, for each round of them 30 s at most.
void ssh_fanout_run(struct ssh_fanout *all, size_t count, const char *script, size_t at_a_time);

#endif
