#include "kube/websocket.h"

#include "base/crypto.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

// Not libwebsockets, which speaks WebSocket to the agents: it wants to own the connection and its loop, and knows
// neither the proxies nor the credentials of an API server.

struct websocket {
	wslay_event_context_ptr wslay;
	const struct websocket_ops *ops;
	void *data;
	const unsigned char *in; // what websocket_take was given and wslay has not asked for yet
	size_t in_len;
	struct str out;
	size_t sent;  // of out
	bool control; // the frame that is coming is no message's
};

// --- what wslay asks for ----------------------------------------------------------

static ssize_t on_recv(wslay_event_context_ptr wslay, uint8_t *bytes, size_t len, int flags, void *data)
{
	struct websocket *w = data;
	if (!w->in_len) {
		wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	size_t n = len < w->in_len ? len : w->in_len;
	memcpy(bytes, w->in, n);
	w->in += n;
	w->in_len -= n;
	return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr wslay, const uint8_t *bytes, size_t len, int flags, void *data)
{
	struct websocket *w = data;
	str_add(&w->out, bytes, len);
	return (ssize_t)len;
}

static int on_mask(wslay_event_context_ptr wslay, uint8_t *bytes, size_t len, void *data)
{
	crypto_random(bytes, len);
	return 0;
}

static void on_frame(wslay_event_context_ptr wslay, const struct wslay_event_on_frame_recv_start_arg *frame, void *data)
{
	struct websocket *w = data;
	w->control = wslay_is_ctrl_frame(frame->opcode);
}

static void on_chunk(wslay_event_context_ptr wslay, const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *data)
{
	struct websocket *w = data;
	if (chunk->data_length && !w->control)
		w->ops->on_bytes(chunk->data, chunk->data_length, w->data);
}

static void on_message(wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *message, void *data)
{
	struct websocket *w = data;
	if (!wslay_is_ctrl_frame(message->opcode))
		w->ops->on_end(w->data);
}

// --- life -------------------------------------------------------------------------

struct websocket *websocket_new(const struct websocket_ops *ops, void *data)
{
	struct websocket *w = mem_alloc(sizeof *w);
	*w = (struct websocket){.ops = ops, .data = data};
	static const struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
		.send_callback = on_send,
		.genmask_callback = on_mask,
		.on_frame_recv_start_callback = on_frame,
		.on_frame_recv_chunk_callback = on_chunk,
		.on_msg_recv_callback = on_message};
	if (wslay_event_context_client_init(&w->wslay, &callbacks, w))
		abort();
	wslay_event_config_set_no_buffering(w->wslay, 1);
	wslay_event_config_set_max_recv_msg_length(w->wslay, WEBSOCKET_FRAME_MAX);
	return w;
}

void websocket_free(struct websocket *w)
{
	if (!w)
		return;
	wslay_event_context_free(w->wslay);
	str_fini(&w->out);
	free(w);
}

// --- in ---------------------------------------------------------------------------

// What wslay has queued becomes bytes to send.
static void pack(struct websocket *w)
{
	if (wslay_event_send(w->wslay) == WSLAY_ERR_NOMEM)
		abort();
}

int websocket_take(struct websocket *w, const void *bytes, size_t len, struct error *err)
{
	w->in = bytes;
	w->in_len = len;
	int rc = wslay_event_recv(w->wslay);
	if (rc == WSLAY_ERR_NOMEM)
		abort();
	w->in_len = 0; // what follows a close is nobody's
	pack(w);
	if (rc == 0 && (wslay_event_get_read_enabled(w->wslay) || websocket_is_closed(w)))
		return 0;
	bool long_frame = wslay_event_get_status_code_sent(w->wslay) == WSLAY_CODE_MESSAGE_TOO_BIG;
	return long_frame ? error_set(err, ERROR_SYSTEM, "a WebSocket frame of more than %d MiB",
				    WEBSOCKET_FRAME_MAX >> 20)
			  : error_set(err, ERROR_SYSTEM, "what came over the connection are no WebSocket frames");
}

bool websocket_is_closed(const struct websocket *w)
{
	return wslay_event_get_close_received(w->wslay);
}

// --- out --------------------------------------------------------------------------

static void queue(struct websocket *w, enum wslay_opcode opcode, const void *bytes, size_t len)
{
	struct wslay_event_msg message = {.opcode = (uint8_t)opcode, .msg = bytes, .msg_length = len};
	int rc = wslay_event_queue_msg(w->wslay, &message);
	if (rc == WSLAY_ERR_NOMEM)
		abort();
	pack(w);
}

void websocket_send(struct websocket *w, const void *bytes, size_t len)
{
	queue(w, WSLAY_BINARY_FRAME, bytes, len);
}

void websocket_ping(struct websocket *w)
{
	queue(w, WSLAY_PING, "", 0);
}

void websocket_close(struct websocket *w)
{
	if (wslay_event_queue_close(w->wslay, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0) == WSLAY_ERR_NOMEM)
		abort();
	pack(w);
}

const void *websocket_next(const struct websocket *w, size_t *len)
{
	*len = w->out.len - w->sent;
	return *len ? w->out.text + w->sent : NULL;
}

// What was sent makes room when all was: what is left is never moved.
void websocket_sent(struct websocket *w, size_t len)
{
	w->sent += len;
	if (w->sent == w->out.len)
		w->sent = w->out.len = 0;
}
