#include "agent/uplink.h"

#include "base/clock.h"
#include "base/mem.h"
#include "job/heartbeat.h"
#include "node/spool.h"
#include "wire/conn.h"
#include "wire/event.h"

#include <stdlib.h>
#include <string.h>

// A stream may be this far ahead of the controller before its producer has to wait.
static const uint64_t ahead_max = 256 << 20;
static const size_t shell_queue_max = 1 << 20;
static const size_t message_max = 256 << 20; // a launch names every peer
static const double redial_first = 0.05, redial_max = 1, flush_again = 0.1;

struct stream {
	uint32_t id;
	struct spool *spool;
	char *name; // of a file
	bool full, unreadable;
};

struct uplink {
	struct loop *loop;
	char *url, *fingerprint, *dir;
	double lease, redial;
	unsigned heartbeat;
	const struct uplink_ops *ops;
	void *data;
	struct conn *conn;
	bool greeted; // the controller has answered the hello: streams may flow
	bool over;
	struct stream *streams;
	size_t nstreams, turn;
	struct loop_timer *redial_timer, *lease_timer, *flush_timer;
	char *why;
};

static void dial(void *data);

// Where the stream is, or where it belongs: they stand in the order of their ids.
static size_t place_of(const struct uplink *up, uint32_t id)
{
	size_t low = 0, high = up->nstreams;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (up->streams[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct stream *find(const struct uplink *up, uint32_t id)
{
	size_t at = place_of(up, id);
	return at < up->nstreams && up->streams[at].id == id ? &up->streams[at] : NULL;
}

static struct stream *add_stream(struct uplink *up, uint32_t id, struct spool *spool)
{
	size_t at = place_of(up, id);
	if ((up->nstreams & (up->nstreams - 1)) == 0)
		up->streams = mem_resize(up->streams, (up->nstreams ? up->nstreams * 2 : 1) * sizeof *up->streams);
	memmove(up->streams + at + 1, up->streams + at, (up->nstreams++ - at) * sizeof *up->streams);
	up->streams[at] = (struct stream){.id = id, .spool = spool};
	if (up->conn)
		conn_wake(up->conn);
	return &up->streams[at];
}

static void free_stream(struct stream *s)
{
	spool_free(s->spool);
	free(s->name);
}

// The files before that stream have all arrived.
static void forget_files(struct uplink *up, uint32_t before)
{
	size_t first = place_of(up, UPLINK_FILES), end = place_of(up, before), n = end > first ? end - first : 0;
	if (n == 0)
		return;
	for (size_t i = first; i < end; i++)
		free_stream(&up->streams[i]);
	memmove(up->streams + first, up->streams + end, (up->nstreams - end) * sizeof *up->streams);
	up->nstreams -= n;
	up->turn = up->turn >= end ? up->turn - n : up->turn >= first ? 0 : up->turn;
}

// --- the line -----------------------------------------------------------------

static void on_open(struct conn *conn, void *data)
{
	struct uplink *up = data;
	conn_limit(conn, message_max);
	autojson json_t *hello = up->ops->hello(up->data);
	conn_send(conn, hello);
}

static void on_lease_time(void *data)
{
	struct uplink *up = data;
	if (up->over)
		return;
	up->over = true;
	up->ops->on_lease_over(up->why ? up->why : "no contact with the controller", up->data);
}

static void check_room(struct uplink *up)
{
	bool room = false, some = false;
	for (size_t i = 0; i < up->nstreams; i++) {
		struct stream *s = &up->streams[i];
		some = some || s->full;
		if (s->full && spool_flush(s->spool) == 0 &&
			spool_end(s->spool) - spool_acked(s->spool) < ahead_max / 2) {
			s->full = false;
			room = true;
		}
	}
	if (some && up->conn)
		conn_wake(up->conn); // some of what waited may be on its way now, even if there is no room yet
	if (room)
		up->ops->on_room(up->data);
}

static void on_flush_time(void *data)
{
	struct uplink *up = data;
	check_room(up);
	for (size_t i = 0; i < up->nstreams; i++)
		if (up->streams[i].full) {
			loop_timer_set(up->flush_timer, flush_again);
			return;
		}
}

static void on_ack(struct uplink *up, json_t *msg)
{
	const char *name;
	json_t *value;
	json_t *offsets = json_object_get(msg, "streams");
	bool first = !up->greeted;
	forget_files(up, (uint32_t)json_integer_value(json_object_get(msg, "files")));
	if (first)
		up->turn = 0; // what was on its way comes first again
	for (size_t i = 0; first && i < up->nstreams; i++)
		spool_rewind(up->streams[i].spool, spool_acked(up->streams[i].spool));
	json_object_foreach (offsets, name, value) {
		struct stream *s = find(up, (uint32_t)strtoul(name, NULL, 10));
		uint64_t offset = (uint64_t)json_integer_value(value);
		if (s && first)
			spool_rewind(s->spool, offset);
		else if (s)
			spool_ack(s->spool, offset);
	}
	up->greeted = true;
	up->redial = redial_first;
	loop_timer_cancel(up->lease_timer);
	check_room(up);
	conn_wake(up->conn);
}

static void on_text(struct conn *conn, json_t *msg, void *data)
{
	struct uplink *up = data;
	const char *kind = json_string_value(json_object_get(msg, "msg"));
	if (kind && strcmp(kind, "ack") == 0)
		on_ack(up, msg);
	up->ops->on_message(msg, up->data);
}

static void on_bytes(struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
	struct uplink *up = data;
	up->ops->on_bytes(stream, offset, bytes, len, up->data);
}

static size_t take(struct uplink *up, struct stream *s, uint32_t *stream, uint64_t *offset, void *buf, size_t size)
{
	*stream = s->id;
	size_t n = spool_next(s->spool, offset, buf, size);
	if (n == 0 && !s->unreadable && spool_failed(s->spool)) {
		s->unreadable = true;
		up->ops->on_unreadable(s->id, s->name, spool_failed(s->spool), up->data);
	}
	return n;
}

// Events first: they announce what the other streams are. The others take turns, but a file is sent to its end: each
// that is begun costs a descriptor.
static size_t fill(struct conn *conn, uint32_t *stream, uint64_t *offset, void *buf, size_t size, void *data)
{
	struct uplink *up = data;
	if (!up->greeted || up->nstreams == 0)
		return 0;
	size_t n = take(up, &up->streams[0], stream, offset, buf, size);
	if (n == 0 && up->streams[up->turn].id >= UPLINK_FILES)
		n = take(up, &up->streams[up->turn], stream, offset, buf, size);
	for (size_t i = 0; n == 0 && i < up->nstreams; i++) {
		up->turn = (up->turn + 1) % up->nstreams;
		n = take(up, &up->streams[up->turn], stream, offset, buf, size);
	}
	return n;
}

static void on_close(struct conn *conn, const char *why, void *data)
{
	struct uplink *up = data;
	free(up->why);
	up->why = mem_strdup(why);
	up->conn = NULL;
	if (up->over)
		return;
	if (up->greeted)
		loop_timer_set(up->lease_timer, heartbeat_lease_left(up->lease, conn_heard(conn), clock_mono()));
	up->greeted = false;
	loop_timer_set(up->redial_timer, up->redial);
	up->redial = up->redial * 2 < redial_max ? up->redial * 2 : redial_max;
}

static const struct conn_ops ops = {on_open, on_text, on_bytes, fill, on_close};

static void dial(void *data)
{
	struct uplink *up = data;
	if (up->over)
		return;
	struct error err;
	up->conn = conn_dial(up->loop, up->url, up->fingerprint, up->heartbeat, &ops, up, &err);
	if (!up->conn)
		loop_timer_set(up->redial_timer, redial_max);
}

struct uplink *uplink_new(struct loop *loop, const struct uplink_options *options, struct error *err)
{
	struct uplink *up = mem_alloc(sizeof *up);
	*up = (struct uplink){.loop = loop,
		.url = mem_strdup(options->url),
		.fingerprint = mem_strdup(options->fingerprint),
		.dir = mem_strdup(options->dir),
		.lease = options->lease,
		.redial = redial_first,
		.heartbeat = options->heartbeat,
		.ops = options->ops,
		.data = options->data};
	up->redial_timer = loop_timer_new(loop, dial, up);
	up->lease_timer = loop_timer_new(loop, on_lease_time, up);
	up->flush_timer = loop_timer_new(loop, on_flush_time, up);
	if (uplink_open(up, UPLINK_EVENTS, err) < 0) {
		uplink_stop(up);
		uplink_free(up);
		return NULL;
	}
	loop_timer_set(up->lease_timer, up->lease);
	dial(up);
	return up;
}

void uplink_stop(struct uplink *up)
{
	up->over = true;
	loop_timer_free(steal(up->redial_timer));
	loop_timer_free(steal(up->lease_timer));
	loop_timer_free(steal(up->flush_timer));
}

void uplink_free(struct uplink *up)
{
	if (!up)
		return;
	for (size_t i = 0; i < up->nstreams; i++)
		free_stream(&up->streams[i]);
	free(up->streams);
	free(up->url);
	free(up->fingerprint);
	free(up->dir);
	free(up->why);
	free(up);
}

// --- streams ------------------------------------------------------------------

int uplink_open(struct uplink *up, uint32_t stream, struct error *err)
{
	struct spool *spool = find(up, stream) ? NULL : spool_new(up->dir, err);
	if (find(up, stream))
		return 0;
	if (!spool)
		return -1;
	add_stream(up, stream, spool);
	return 0;
}

void uplink_file(struct uplink *up, uint32_t stream, const struct uplink_file *file)
{
	struct stream *s = add_stream(up, stream, spool_of_file(file->dirfd, file->path, file->size));
	s->name = mem_strdup(file->name);
}

size_t uplink_files(const struct uplink *up)
{
	return up->nstreams - place_of(up, UPLINK_FILES);
}

bool uplink_add(struct uplink *up, uint32_t stream, const void *bytes, size_t len)
{
	struct stream *s = find(up, stream);
	bool stored = spool_add(s->spool, bytes, len) == 0;
	if (!stored || spool_end(s->spool) - spool_acked(s->spool) > ahead_max) {
		s->full = true;
		loop_timer_set(up->flush_timer, flush_again);
	}
	if (up->conn)
		conn_wake(up->conn);
	return !s->full;
}

void uplink_event(struct uplink *up, json_t *event)
{
	autofree char *line = event_print(event);
	uplink_add(up, UPLINK_EVENTS, line, strlen(line));
	json_decref(event);
}

bool uplink_full(const struct uplink *up, uint32_t stream)
{
	const struct stream *s = find(up, stream);
	return s && s->full;
}

uint64_t uplink_end(const struct uplink *up, uint32_t stream)
{
	const struct stream *s = find(up, stream);
	return s ? spool_end(s->spool) : 0;
}

void uplink_send(struct uplink *up, json_t *msg)
{
	if (up->conn && up->greeted)
		conn_send(up->conn, msg);
	json_decref(msg);
}

bool uplink_send_bytes(struct uplink *up, uint32_t stream, const void *bytes, size_t len)
{
	if (!up->conn || !up->greeted || conn_queued(up->conn) > shell_queue_max)
		return false;
	conn_send_bytes(up->conn, stream, 0, bytes, len);
	return true;
}

bool uplink_is_drained(const struct uplink *up)
{
	for (size_t i = 0; i < up->nstreams; i++)
		if (!spool_is_done(up->streams[i].spool))
			return false;
	return true;
}
