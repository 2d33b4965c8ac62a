// A container's first process while the agent does the work. It adopts orphans and ends when no process is left.
// It starts nothing: the bridge that an exec brings starts the agent.
#ifndef HELPER_PAUSE_H
#define HELPER_PAUSE_H

// Ends on SIGTERM, when its last child has ended, and when it has been alone for so many seconds. The exit status of
// the process: of that child, else 0.
int pause_main(double seconds);

#endif
