// The controller: one run from plan to done. Walks the state table; the only writer of the run directory.
// It shows nothing: others follow the run directory.
#ifndef CONTROLLER_CONTROLLER_H
#define CONTROLLER_CONTROLLER_H

#include "base/error.h"
#include "controller/controller_options.h"

// Runs to the end and returns the exit status of the run: 0, 1, 3 or 130. SIGINT and SIGTERM stop it gently, a second
// one at once; SIGHUP does nothing. -1 and err only when it could not even start; the run directory then says nothing
// but `run`.
int controller_main(const struct controller_options *options, struct error *err);

#endif
