// Following a run from outside: what `muster run` and `muster attach` show. It reads the run directory and nothing
// else. It controls nothing: stopping a run is a signal to its controller.
#ifndef TUI_VIEWER_H
#define TUI_VIEWER_H

#include "base/error.h"
#include "run/run.h"

#include <stdbool.h>
#include <sys/types.h>

struct viewer_options {
	bool json;         // print the events as they are, nothing else
	bool quiet;        // no rank output, no progress: only problems and the end
	bool owner;        // `muster run`: Ctrl-C is passed to the controller (controller/interrupt.h); otherwise
			   // Ctrl-C only detaches
	const char *until; // a state in which it goes on by itself, and is not shown any longer; NULL for none
	bool *left; // set when that state is reached, and when the user left a run that goes on: Ctrl-C without owner,
		    // SIGHUP and SIGQUIT always. May be NULL
	pid_t controller;           // the controller's process
	unsigned long long started; // and its start time
};

// Shows the run until its end event (or until its controller is gone, or the user detaches). Returns the exit status
// that `muster run` ends with (0, 1, 3, 130; 0 when detached), -1 and err when the run cannot be followed.
int viewer_follow(const struct run *run, const struct viewer_options *options, struct error *err);

#endif
