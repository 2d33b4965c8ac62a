#include "docker/hijacked_stream.h"

#include "base/mem.h"
#include "base/thread.h"
#include "docker/stream_frames.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024 };

// Bytes on their way. What is there is written before more is read, so neither side can fill our memory.
struct way {
	char bytes[CHUNK];
	size_t at, end;
};

struct hijack {
	struct http_stream *stream;
	int fd; // our end of the pair
	struct stream_frames frames;
	struct way in, out; // to the program, from it
	unsigned char raw[CHUNK];
	size_t at, end; // of raw
};

static bool later(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

// Unpacks into out what there is room for, which is all once out is empty. False: what comes are no frames.
static bool unpack(struct hijack *h)
{
	while (h->at < h->end && h->out.end == 0) {
		const unsigned char *payload;
		size_t used;
		int kind;
		long n = stream_frames_next(&h->frames, h->raw + h->at, h->end - h->at, &kind, &payload, &used);
		if (n < 0)
			return false;
		if (n > 0 && kind == STREAM_FRAMES_OUTPUT) {
			memcpy(h->out.bytes, payload, (size_t)n);
			h->out.end = (size_t)n;
		}
		h->at += used;
	}
	return true;
}

// From the connection to the pair. False at the end.
static bool come(struct hijack *h)
{
	for (;;) {
		if (h->out.at < h->out.end) {
			ssize_t n = send(h->fd, h->out.bytes + h->out.at, h->out.end - h->out.at, MSG_NOSIGNAL);
			if (n < 0)
				return later(n);
			h->out.at += (size_t)n;
			if (h->out.at < h->out.end)
				continue;
		}
		h->out.at = h->out.end = 0;
		if (h->at == h->end) {
			ssize_t n = http_stream_read(h->stream, h->raw, sizeof h->raw);
			if (n <= 0)
				return later(n);
			h->at = 0;
			h->end = (size_t)n;
		}
		if (!unpack(h))
			return false;
	}
}

// From the pair to the connection. False at the end.
static bool go(struct hijack *h)
{
	for (;;) {
		struct way *in = &h->in;
		if (in->at == in->end) {
			ssize_t n = read(h->fd, in->bytes, sizeof in->bytes);
			if (n <= 0)
				return later(n);
			in->at = 0;
			in->end = (size_t)n;
		}
		ssize_t n = http_stream_write(h->stream, in->bytes + in->at, in->end - in->at);
		if (n <= 0)
			return later(n);
		in->at += (size_t)n;
	}
}

static void *hijack_main(void *data)
{
	struct hijack *h = data;
	bool on = true;
	while (on) {
		bool to_pair = h->out.at < h->out.end, to_stream = h->in.at < h->in.end;
		// With no events an end would be told again and again.
		struct pollfd fds[2] = {
			{.fd = to_pair && !to_stream ? -1 : http_stream_fd(h->stream),
				.events = (short)((to_pair ? 0 : POLLIN) | (to_stream ? POLLOUT : 0))},
			{.fd = to_stream && !to_pair ? -1 : h->fd,
				.events = (short)((to_stream ? 0 : POLLIN) | (to_pair ? POLLOUT : 0))},
		};
		if (to_pair || !http_stream_pending(h->stream))
			poll(fds, 2, -1);
		on = come(h) && go(h);
	}
	http_stream_close(h->stream);
	close(h->fd);
	free(h);
	return NULL;
}

int hijacked_stream_start(struct http_stream *stream, struct error *err)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
		http_stream_close(stream);
		return error_errno(err, "cannot make a socket pair");
	}
	struct hijack *h = mem_alloc(sizeof *h);
	h->stream = stream;
	h->fd = ends[1];
	fcntl(http_stream_fd(stream), F_SETFL, O_NONBLOCK);
	fcntl(h->fd, F_SETFL, O_NONBLOCK);
	pthread_t thread;
	int rc = thread_start(&thread, NULL, hijack_main, h);
	if (!rc) {
		pthread_detach(thread);
		return ends[0];
	}
	http_stream_close(stream);
	close(ends[0]);
	close(ends[1]);
	free(h);
	errno = rc;
	return error_errno(err, "cannot start a thread");
}
