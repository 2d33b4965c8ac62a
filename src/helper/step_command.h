// Commands of a process that does a setup step (helper/setup_step.h): run to their end, or until the line to the agent
// is over. It reads no output; that goes where it is told.
#ifndef HELPER_STEP_COMMAND_H
#define HELPER_STEP_COMMAND_H

#include <stdbool.h>

enum {
	STEP_COMMAND_CANNOT = 127, // it cannot be run; standard error has been told why
	STEP_COMMAND_OVER = 137,   // the line was over first: as if it had been killed
};

// Runs argv (NULL-ended, argv[0] searched in PATH) in dir (NULL: here), with this process's environment, its output to
// out, its errors to standard error, nothing to read. Returns its exit status, 128 + the signal that ended it, or one
// of the above.
int step_command_run(const char *const *argv, const char *dir, int out);

// Waits so long; false when the line was over first.
bool step_command_pause(double seconds);

#endif
