// The retry rule: whether ranks that failed are started again.
// It starts nothing: lifecycle asks, and the state table says what another attempt does.
#ifndef CONTROLLER_RETRY_H
#define CONTROLLER_RETRY_H

#include "controller/state_table.h"

#include <stdbool.h>
#include <stddef.h>

struct retry {
	enum state state;
	size_t attempt;      // the one that failed: 1 is the first
	size_t retries;      // attempts that the job allows after the first (`run.retries`)
	bool preflight_only; // nothing is started that could be started again
};

// Only while ranks run: what comes before them (inputs, setup) is not tried twice.
bool retry_allows(const struct retry *retry);

#endif
