// A command in a container as a descriptor, over the API server's exec WebSocket. It knows no nodes and does not try
// again: the tunnels do (exec/tunnel.h).
#ifndef KUBE_EXEC_STREAM_H
#define KUBE_EXEC_STREAM_H

#include "kube/api_server.h"

#include <jansson.h>

// Runs argv in a container of a pod. Returns a stream socket, owned by the caller, at once: what is written to it is
// the command's input, what can be read is its output. The connection is made on a thread of the stream's own; when it
// fails, or the command cannot be run, or it ends with a status other than 0, a line that says why can be read, and
// then the end. So can what the command says on its standard error. Only text is mixed with text: once the command has
// put out bytes that are none, nothing is added to them.
//
// Shutting the descriptor down for writing ends the command's input, closing it the connection; the command in the pod
// goes on and must see that itself. The line is tested every 15 s, which also keeps bytes flowing both ways for proxies
// that cut what is idle, and given up after 45 s of silence. -1 and err when there can be no thread. The server must
// outlive the streams.
int exec_stream_open(
	struct api_server *server, const char *pod, const char *container, const json_t *argv, struct error *err);

// Gives up what is still being opened, and waits until this server has no stream any more. The descriptors must be
// closed.
void exec_stream_stop(struct api_server *server);

// What the stream says of a Status with which the API server ends an exec, in one line owned by the caller; NULL when
// the command has ended well. Pure.
char *exec_stream_verdict(const json_t *status);

// The path of the request. Pure; owned by the caller.
char *exec_stream_path(const char *namespace, const char *pod, const char *container, const json_t *argv);

#endif
