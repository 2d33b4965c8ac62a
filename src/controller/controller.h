// The controller: one run from plan to done. Walks the state table; the only writer of the run directory.
// It shows nothing: others follow the run directory.
#ifndef CONTROLLER_CONTROLLER_H
#define CONTROLLER_CONTROLLER_H

#include "base/error.h"
#include "exec/executor.h"
#include "run/run.h"

#include <jansson.h>
#include <stdbool.h>

// The value that comes with a SIGTERM (sigqueue) says why.
enum { CONTROLLER_CLUSTER_DOWN = 1 }; // the cluster that the run is on goes down

struct controller_options {
	struct run *run; // made by run_create
	const json_t *plan;
	const struct executor *executor;
	bool preflight_only;
	bool keep; // the cluster stays up until it is told to go down; when the run directory has an identity already
		   // it is taken over
	int leash; // a stream socket to the one who watches, or -1. When it closes the run is cancelled; a byte on it
		   // first, and the run goes on
};

// Runs to the end and returns the exit status of the run: 0, 1, 3 or 130. SIGINT and SIGTERM stop it gently, a second
// one at once; SIGHUP does nothing. -1 and err only when it could not even start; the run directory then says nothing
// but `run`.
int controller_main(const struct controller_options *options, struct error *err);

#endif
