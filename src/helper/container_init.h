// The first process of a container that ranks run in, `muster-agent container-init SOCKET`: starts what it is given
// (helper/container_enter.h) and reaps what has ended. It is nobody's server: the agent of its node gives it each
// line, over the one it makes itself, and when that one ends the container does.
#ifndef HELPER_CONTAINER_INIT_H
#define HELPER_CONTAINER_INIT_H

// The process's life: connects to the agent's socket, and lives as long as that connection.
int container_init_main(const char *socket);

#endif
