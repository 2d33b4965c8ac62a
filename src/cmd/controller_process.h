// Starting a controller as a process of its own, and following what it does.
// It makes no plan and no run directory.
#ifndef CMD_CONTROLLER_PROCESS_H
#define CMD_CONTROLLER_PROCESS_H

#include "base/error.h"
#include "controller/controller.h"

#include <stdbool.h>

struct controller_process_options {
	struct controller_options controller; // its leash is set here
	bool detach;                          // return as soon as it has started; it goes on whatever becomes of us
	bool json, quiet;                     // of what is shown
};

// Starts it and shows the run to its end; the exit status of the run. A cluster that is kept is shown until it is up,
// which is 0; from then on it goes on by itself. -1 and err when it could not start or be followed.
int controller_process_start(const struct controller_process_options *options, struct error *err);

#endif
