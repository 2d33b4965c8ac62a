// What a controller is asked to do: the run, its plan, its executor, and how it is to end.
// It does nothing itself: lifecycle and controller read it.
#ifndef CONTROLLER_CONTROLLER_OPTIONS_H
#define CONTROLLER_CONTROLLER_OPTIONS_H

#include "exec/executor.h"
#include "run/run.h"

#include <jansson.h>
#include <stdbool.h>

struct controller_options {
	struct run *run; // made by run_create
	const json_t *plan;
	const struct executor *executor;
	bool preflight_only;
	bool persistent; // the cluster stays up until it is told to go down; when the run directory has an identity
			 // already it is taken over
	int leash; // a stream socket to the one who watches, or -1. When it closes the run is cancelled; a byte on it
		   // first, and the run goes on
};

#endif
