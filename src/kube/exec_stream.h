// A command in a container as a descriptor, over the API server's exec WebSocket. It knows no nodes and does not try
// again: the tunnels do (exec/tunnel.h).
#ifndef KUBE_EXEC_STREAM_H
#define KUBE_EXEC_STREAM_H

#include "kube/api_server.h"

#include <jansson.h>

// Runs argv in a container of a pod. Returns a stream socket, owned by the caller, at once: what is written to it is
// the command's input, what can be read is its output. The connection is made on a thread of the stream's own; when it
// fails, or the command cannot be run, or it ends with a status other than 0, a line that says why can be read, and
// then the end. Closing the descriptor ends the connection; the command in the pod must see that itself. The server
// must outlive the streams: exec_stream_wait waits for their threads.
int exec_stream_open(
	struct api_server *server, const char *pod, const char *container, const json_t *argv, struct error *err);

// Waits until no stream of this server is open any more; the descriptors must be closed.
void exec_stream_wait(struct api_server *server);

#endif
