#include "agent/input_client.h"

#include "base/mem.h"
#include "base/str.h"
#include "node/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// The controller may be so far ahead of the stager: this much is here in memory at most, and on the way in a round
// trip.
static const uint64_t window = 8 << 20, step = 1 << 20;

struct input_client {
	struct node *node;
	void (*on_fail)(struct node *node, size_t input, const char *why);
	struct loop_watch *watch;
	bool wanted, told; // told: the stager has been told how long it is
	size_t input;
	uint64_t size, have, given, until; // have: bytes that came; given: bytes the stager has got
	struct str queue;                  // what the stager does not take yet, from queue_at on
	size_t queue_at;
};

static void ask(struct input_client *in)
{
	in->until = in->given + window;
	uplink_send(in->node->up, mem_json("{s:s, s:i, s:I, s:I}", "msg", "input", "input", (int)in->input, "from",
					  (json_int_t)in->have, "until", (json_int_t)in->until));
}

static void give_room(struct input_client *in)
{
	if (in->until >= in->size || in->given + window < in->until + step)
		return;
	in->until = in->given + window;
	uplink_send(in->node->up,
		mem_json("{s:s, s:i, s:I}", "msg", "input", "input", (int)in->input, "until", (json_int_t)in->until));
}

static void fail(struct input_client *in, const char *why)
{
	in->wanted = false;
	in->on_fail(in->node, in->input, why);
}

// --- to the stager ------------------------------------------------------------

static size_t put(struct input_client *in, const char *bytes, size_t len)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = send(loop_watch_fd(in->watch), bytes + done, len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break; // full; or the stager is gone, which its exit tells
		done += (size_t)n;
	}
	return done;
}

static void on_socket(enum loop_event event, void *data)
{
	struct input_client *in = data;
	if (event == LOOP_CLOSED)
		in->watch = NULL;
	if (event != LOOP_WRITABLE)
		return;
	size_t n = put(in, in->queue.text + in->queue_at, in->queue.len - in->queue_at);
	in->queue_at += n;
	in->given += n;
	if (in->queue_at == in->queue.len)
		in->queue_at = in->queue.len = 0;
	else
		loop_watch_writable(in->watch);
	give_room(in);
}

static void give(struct input_client *in, const char *bytes, size_t len)
{
	size_t n = in->queue.len == 0 ? put(in, bytes, len) : 0;
	in->given += n;
	if (n < len) {
		if (in->queue_at > window) {
			in->queue.len -= in->queue_at;
			memmove(in->queue.text, in->queue.text + in->queue_at, in->queue.len);
			in->queue_at = 0;
		}
		str_add(&in->queue, bytes + n, len - n);
		loop_watch_writable(in->watch);
	}
	give_room(in);
}

// --- from the controller ------------------------------------------------------

void input_client_want(struct input_client *in, size_t input)
{
	in->wanted = true;
	in->told = false;
	in->input = input;
	in->size = in->have = in->given = 0;
	in->queue.len = in->queue_at = 0;
	ask(in);
}

void input_client_again(struct input_client *in)
{
	if (in->wanted && (!in->told || in->have < in->size))
		ask(in);
}

void input_client_message(struct input_client *in, const json_t *msg)
{
	const char *why = json_string_value(json_object_get(msg, "why"));
	const json_t *size = json_object_get(msg, "size"), *mode = json_object_get(msg, "mode");
	if (!in->wanted || !in->watch || json_integer_value(json_object_get(msg, "input")) != (json_int_t)in->input)
		return;
	if (why) {
		fail(in, why);
		return;
	}
	if (!json_is_integer(size) || json_integer_value(size) < 0 || !json_is_integer(mode)) {
		fail(in, "invalid answer from the controller");
		return;
	}
	if (in->told) // the line was new; an input is the same for the whole run
		return;
	in->told = true;
	in->size = (uint64_t)json_integer_value(size);
	struct stage_head head = {.size = in->size,
		.mode = (unsigned)json_integer_value(mode) & 0777,
		.archive = json_is_true(json_object_get(msg, "archive"))};
	put(in, (const char *)&head, sizeof head); // the socket is empty: the stager has taken all of the one before
}

void input_client_bytes(struct input_client *in, uint32_t stream, uint64_t offset, const void *bytes, size_t len)
{
	if (!in->wanted || !in->watch || stream != UPLINK_INPUTS + in->input)
		return;
	if (!in->told || offset != in->have || len > in->size - in->have || len > in->until - in->have) {
		fail(in, "the controller sent data that was not requested");
		return;
	}
	in->have += len;
	give(in, bytes, len);
}

// --- life ---------------------------------------------------------------------

struct input_client *input_client_new(struct node *node,
	void (*on_fail)(struct node *node, size_t input, const char *why), int *theirs, struct error *err)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		error_errno(err, "cannot make a socket pair");
		return NULL;
	}
	struct input_client *in = mem_alloc(sizeof *in);
	*in = (struct input_client){.node = node, .on_fail = on_fail};
	in->watch = loop_watch(node->loop, ends[0], on_socket, in);
	if (in->watch) {
		*theirs = ends[1];
		return in;
	}
	error_set(err, ERROR_SYSTEM, "cannot watch a socket");
	close(ends[0]);
	close(ends[1]);
	free(in);
	return NULL;
}

void input_client_free(struct input_client *in)
{
	if (!in)
		return;
	loop_unwatch(in->watch);
	str_fini(&in->queue);
	free(in);
}
