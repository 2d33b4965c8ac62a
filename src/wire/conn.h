// A connection between controller and agent (or client): one WebSocket over TLS 1.3, the server's certificate pinned by
// fingerprint. It does not know what the messages mean: text frames are JSON objects, binary frames are bytes at an
// offset of a numbered stream.
//
// A binary frame is 12 bytes of header, stream (32 bits) and offset (64 bits) in network byte order, then the bytes.
#ifndef WIRE_CONN_H
#define WIRE_CONN_H

#include "base/crypto.h"
#include "base/error.h"
#include "base/loop.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;

// What happens on a connection. Every member but fill must be there.
struct conn_ops {
	void (*on_open)(struct conn *conn,
		void *data); // the handshake is done; on a dialled connection the certificate is the right one
	void (*on_text)(struct conn *conn, json_t *msg, void *data); // msg is borrowed
	// A piece of a binary frame, in order; the pieces of one frame come with rising offsets.
	void (*on_bytes)(
		struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data);
	// Asked when the connection can take more and no text waits: puts up to size bytes into buf and says where they
	// belong; 0 when there is nothing (then conn_wake asks again later). NULL when this side never sends bytes by
	// itself.
	size_t (*fill)(struct conn *conn, uint32_t *stream, uint64_t *offset, void *buf, size_t size, void *data);
	void (*on_close)(struct conn *conn, const char *why, void *data); // conn is freed after it
};

enum { CONN_CHUNK = 60 * 1024 }; // the most bytes fill is asked for

// Dials url: "wss://HOST:PORT", or "unix:PATH" for the same through a unix socket. NULL and err when the url is not
// one; everything later comes through ops. heartbeat: seconds of silence after which a ping goes out; twice that
// without any answer closes the connection.
struct conn *conn_dial(struct loop *loop, const char *url, const char *fingerprint, unsigned heartbeat,
	const struct conn_ops *ops, void *data, struct error *err);

// Listens on address (an IP; NULL for all) and *port (0: any; the port found is written back). Each connection starts
// with these ops and data. on_refused hears of peers that never spoke WebSocket over TLS.
struct listener;
struct listener *conn_listen(struct loop *loop, const char *address, int *port, const struct crypto_identity *identity,
	unsigned heartbeat, const struct conn_ops *ops, void (*on_refused)(const char *peer, void *data), void *data,
	struct error *err);
void conn_listener_free(struct listener *listener); // call after loop_free

void conn_set(struct conn *conn, const struct conn_ops *ops, void *data); // from now on
void conn_expire(
	struct conn *conn, unsigned seconds); // closed that much later, whatever happens until then; 0: not any more
void conn_limit(struct conn *conn, size_t bytes); // the largest text message that is taken; 64 KiB at first

void conn_send(struct conn *conn, const json_t *msg); // queued and sent in order
void conn_send_bytes(
	struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len); // the same, a copy is made

// A message for many connections: printed once, and in memory once however many it still waits on.
struct conn_message;
struct conn_message *conn_message_new(const json_t *msg);
void conn_message_free(struct conn_message *message); // connections that have yet to send it keep it; takes NULL
void conn_send_message(struct conn *conn, struct conn_message *message);

size_t conn_queued(const struct conn *conn);         // bytes waiting
void conn_wake(struct conn *conn);                   // fill has something now
void conn_close(struct conn *conn, const char *why); // after what is queued is sent, or some seconds; on_close follows
const char *conn_peer(const struct conn *conn);      // "127.0.0.2:4711"
double conn_heard(const struct conn *conn); // when the other side last gave a sign of life, by clock_mono; 0: never

#endif
