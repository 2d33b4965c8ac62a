// A container's first process while the agent does the work. It adopts orphans and ends when no process is left.
// It starts nothing: the bridge that an exec brings starts the agent.
#ifndef HELPER_PAUSE_H
#define HELPER_PAUSE_H

// Ends when its last child has ended, and when it has been alone for so many seconds. SIGTERM (the container is
// stopped, its pod deleted) goes on to the container's agents, and then it ends when they have: they send what they
// have to the controller. How long they may take is for whoever stops the container: it kills what is left. The exit
// status of the process: of that child, 143 after SIGTERM, else 0.
int pause_main(double seconds);

#endif
