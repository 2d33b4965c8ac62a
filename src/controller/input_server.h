// What the nodes are sent of a plan's inputs: finds out what each is when a node first asks for it, and says which
// bytes go down next. It has no connection: the server hands messages in and asks for bytes.
#ifndef CONTROLLER_INPUT_SERVER_H
#define CONTROLLER_INPUT_SERVER_H

#include "base/error.h"
#include "base/loop.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum { INPUT_SERVER_STREAMS = 1 << 20 }; // stream 2^20 + I, downwards: the I-th input

struct input_server;

struct input_server_ops {
	void (*send)(size_t node, json_t *msg, void *data);       // takes msg; it may be lost when the node is away
	void (*wake)(size_t node, void *data);                    // input_server_fill has something for it now
	void (*on_bad)(size_t node, const char *why, void *data); // it asked for what it may not
	void (*on_fetched)(json_t *event, void *data); // an input was fetched by us: an `input` event; takes it
};

// dir: where what is fetched may lie meanwhile, in a directory of its own, removed by input_server_stop. skip: see
// tar_stream_new. Dir, skip, ops and data are borrowed.
struct input_server *input_server_new(struct loop *loop, const json_t *plan, const char *dir, const char *skip,
	const struct input_server_ops *ops, void *data, struct error *err);
void input_server_stop(struct input_server
		*s); // ends what is going on; no call-backs any more, nothing to fill; before loop_free; takes NULL
void input_server_free(struct input_server *s); // takes NULL

// An `input` message of a node: it wants an input from an offset on, or has more room.
void input_server_ask(struct input_server *s, size_t node, const json_t *msg);
void input_server_resize(struct input_server *s, size_t nodes); // there are so many now
void input_server_away(struct input_server *s, size_t node);    // its line is down: it will ask anew

size_t input_server_fill(struct input_server *s, size_t node, uint32_t *stream, uint64_t *offset, void *buf,
	size_t size); // as the fill of conn.h

#endif
