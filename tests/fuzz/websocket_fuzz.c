// The first byte is the size of the pieces; what comes out is never more than went in, and does not depend
// on the size.
#include "kube/websocket.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
	size_t bytes, messages;
	uint32_t sum;
};

static void on_bytes(const unsigned char *bytes, size_t len, void *data)
{
	struct heard *h = data;
	assert(len);
	h->bytes += len;
	for (size_t i = 0; i < len; i++)
		h->sum = h->sum * 31 + bytes[i];
}

static void on_end(void *data)
{
	struct heard *h = data;
	h->messages++;
	h->sum = h->sum * 31 + 256;
}

static const struct websocket_ops ops = {on_bytes, on_end};

static int take(const uint8_t *data, size_t size, size_t piece, struct heard *h)
{
	struct error err = {0};
	struct websocket *w = websocket_new(&ops, h);
	int rc = 0;
	for (size_t at = 0; rc == 0 && at < size; at += piece) {
		rc = websocket_take(w, data + at, size - at < piece ? size - at : piece, &err);
		assert(rc == 0 || (rc == -1 && *err.text));
	}
	size_t len;
	const void *out = websocket_next(w, &len);
	assert(!out == !len && len <= 8 * size + 16); // pongs, and a close
	websocket_sent(w, len);
	websocket_free(w);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct heard whole = {0}, pieces = {0};
	int rc = take(data + 1, size - 1, size - 1, &whole);
	int rc_pieces = take(data + 1, size - 1, data[0] ? data[0] : 1, &pieces);
	// Of what is no WebSocket's the beginning may be heard; and the text of a close that comes in pieces may be
	// any.
	assert(rc < 0 || rc_pieces < 0 ||
		(whole.bytes == pieces.bytes && whole.messages == pieces.messages && whole.sum == pieces.sum));
	assert(whole.bytes < size && whole.messages < size);
	return 0;
}
