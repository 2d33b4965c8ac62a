// A rank that runs in a container, as the agent sees it: `muster-agent container-enter SOCKET`, a process in the rank's
// place that has whoever is inside (helper/container_init.h) start it with its own descriptors, hands signals on to it,
// and ends as it ended. Its output does not pass through here: the rank writes to the agent itself.
#ifndef HELPER_CONTAINER_ENTER_H
#define HELPER_CONTAINER_ENTER_H

#include <stdint.h>

// The process's life. Standard input is a file with the rank, {"argv", "env", "dir"}; MUSTER_METRICS_FD and PMI_FD say
// which further descriptors it is to have. When the container ends first it dies by SIGKILL, as the rank did.
int container_enter_main(const char *socket);

// On the line: CONTAINER_ENTER_FDS descriptors or more with one byte, the rank's file, its output, then those it has
// from 3 on. Then bytes that are signals for it; the end of the line is SIGKILL. The answer is one of these.
enum { CONTAINER_ENTER_FDS = 2, CONTAINER_ENTER_FDS_MAX = 4 };

struct container_enter_end {
	int32_t started; // 0: it could not be, and why says so
	int32_t status;  // as wait(2) has it
	char why[1024];
};

#endif
