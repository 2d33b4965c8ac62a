// WebSocket messages (RFC 6455) as a client sends and receives them: frames, masks, fragments, ping and close.
// It does no I/O and shakes no hands: bytes come and go in pieces of any size, on whatever carries them.
#ifndef KUBE_WEBSOCKET_H
#define KUBE_WEBSOCKET_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { WEBSOCKET_FRAME_MAX = 16 << 20 }; // no frame that comes may be longer; messages may be

struct websocket;

// What comes. Both are required and called within websocket_take.
struct websocket_ops {
	// A piece of a message, in order and never empty.
	void (*on_bytes)(const unsigned char *bytes, size_t len, void *data);
	void (*on_end)(void *data); // of the message; one without bytes has only this
};

struct websocket *websocket_new(const struct websocket_ops *ops, void *data);
void websocket_free(struct websocket *w); // takes NULL

// Takes all bytes that came. A ping is answered, a close too. -1 and err: they are no WebSocket's, and the connection
// is of no more use.
int websocket_take(struct websocket *w, const void *bytes, size_t len, struct error *err);
bool websocket_is_closed(const struct websocket *w); // the other side has said that it closes: it sends nothing more

// Each puts something among what is to be sent: a binary message, a ping, a close. Nothing follows a close.
void websocket_send(struct websocket *w, const void *bytes, size_t len);
void websocket_ping(struct websocket *w);
void websocket_close(struct websocket *w);

// What is to be sent, valid until the next call, NULL for nothing; and that so many bytes of it were.
const void *websocket_next(const struct websocket *w, size_t *len);
void websocket_sent(struct websocket *w, size_t len);

#endif
