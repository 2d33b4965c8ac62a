// Unix sockets by path, however long the path is: a socket's address has room for 107 bytes, a node's directory may be
// deeper. They are as private as the directory they are in.
#ifndef BASE_UNIX_SOCKET_H
#define BASE_UNIX_SOCKET_H

#include "base/error.h"

// Both return a descriptor (closed on exec), or -1 and err. The directory must be there; a socket that listens replaces
// what had the name.
int unix_socket_listen(const char *path, struct error *err); // does not block
int unix_socket_connect(const char *path, struct error *err);

#endif
