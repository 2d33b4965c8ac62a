// Errands: one script on many hosts, by ssh, a few at a time.
// It does not know what the script is for, but that one which went well says "muster-swept", and trouble
// "muster-trouble WHY" (helper/broom.h).
#ifndef EXEC_ERRAND_H
#define EXEC_ERRAND_H

#include "exec/secure.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct errand {
	const json_t *host; // borrowed
	double connect;     // seconds for that
	struct secure ssh;
	int out; // a file in memory
	// What came of it.
	bool done;
	bool silent; // it was not reached, or has not ended in time
	char *text;  // its output
	char *words; // why it is not done; "" or NULL when nobody says
};

// One for each host. Freed by errand_free.
struct errand *errand_list(const json_t *hosts, double connect);
void errand_free(struct errand *all, size_t count);

// Starts as many as may be under way, waits for them in their order, for each round of them 30 s at most.
void errand_run(struct errand *all, size_t count, const char *script, size_t at_a_time);

#endif
