// Frames between processes: ZeroMQ, by TCP, or by a Unix socket when both are on one host. A lost peer is dialled again
// by itself. Not what is in the frames. Nothing here authenticates anybody: whoever reaches the port is heard.
#ifndef MNIST_WIRE_H
#define MNIST_WIRE_H
#include "mnist/packet.h"
#include "mnist/server.h"

#include <stdint.h>

struct wire;

// A server's end, at ADDRESS (HOST:PORT), and there only; HOST must be this host's. Dies when that is not to be had
// within some seconds.
struct wire *wire_listen(const char *address, size_t largest);

// A worker's ends, to COUNT servers. Returns at once, whoever is there.
struct wire *wire_dial(char *const *addresses, uint32_t count, size_t largest);

// Gives what was sent a moment to go out. NULL is allowed.
void wire_close(struct wire *w);

// Waits until something has come, a signal, or SECONDS have passed.
void wire_wait(struct wire *w, double seconds);

// The next packet that has come, from server *SHARD or from worker *PEER, or NULL. Caller holds it.
struct packet *wire_take_worker(struct wire *w, uint32_t *shard);
struct packet *wire_take_server(struct wire *w, struct server_peer *peer);

// Take PACKET and send it, or lose it when the other is not there.
void wire_send_server(struct wire *w, uint32_t shard, struct packet *packet);
void wire_send_worker(struct wire *w, const struct server_peer *peer, struct packet *packet);

#endif
