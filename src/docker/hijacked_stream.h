// A hijacked connection as a descriptor: a thread unpacks what comes over it, whatever carries it (unix socket, TCP,
// TLS). It opens no connection and knows no containers.
#ifndef DOCKER_HIJACKED_STREAM_H
#define DOCKER_HIJACKED_STREAM_H

#include "base/error.h"
#include "base/http.h"

// Takes the connection. Returns a stream socket, owned by the caller: what is written to it is the program's input,
// what can be read is its output; its errors are dropped. Either end's closing ends the other.
int hijacked_stream_start(struct http_stream *stream, struct error *err);

#endif
