// Loopback addresses, one a node: two nodes of this machine, of any run and any user, never have the same one.
// It keeps no list: the kernel does.
//
// An address is claimed by binding (not listening, no SO_REUSEADDR) a TCP socket to it on one agreed port below the
// ephemeral range. The claim lasts as long as any process has the descriptor: it is handed to the agents, so it ends
// when they and the controller are gone, however they went.
#ifndef NODE_LOOPBACK_H
#define NODE_LOOPBACK_H

#include "base/error.h"

#include <stdint.h>

#define LOOPBACK_PORT 29399
#define LOOPBACK_COUNT 16000000 // about as many as 127.0.0.0/8 has

// Claims the next free address after *last (0 at first), which becomes that address. Writes it to text. The descriptor,
// close-on-exec, is owned by the caller.
int loopback_claim(uint32_t *last, char text[16], struct error *err);

#endif
