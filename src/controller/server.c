#include "controller/server.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/relay.h"
#include "wire/conn.h"
#include "wire/event.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EVENT_LINE_MAX = 4 << 20, MESSAGE_MAX = 64 << 20 };
static const uint32_t stream_events = 0, stream_ranks = 1, stream_files = 1 << 20, stream_shells = 1u << 31;
static const size_t ack_bytes = 1 << 20; // acknowledge at least this often
static const double ack_delay = 0.02;

// A stream of a node: how much of it is here, how much there will be.
struct stream {
	uint32_t id;
	uint64_t have, acked;
	uint64_t total; // of a file, or when the node has left; UINT64_MAX before that
	int fd;         // of a file that is being written, or -1
	char *path;
	unsigned mode;
};

struct member {
	struct server *server;
	size_t node, first, nranks;
	struct conn *conn;
	bool seen, left, complete;
	struct stream *streams;
	size_t nstreams;
	struct str line;     // an event that is still coming in
	size_t since_ack;
};

struct server {
	struct loop *loop;
	struct run *run;
	const struct server_ops *ops;
	void *data;
	char *secret, *url;
	struct crypto_identity identity;
	struct listener *listener;
	struct relay *relay;
	struct member *members;
	size_t nmembers;
	struct loop_timer *ack_timer;
	bool ack_set, stopped;
};

// --- streams ------------------------------------------------------------------

// A node may have 100,000 files; they come in order, so the search starts at the end.
static struct stream *find_stream(struct member *m, uint32_t id)
{
	for (size_t i = m->nstreams; i-- > 0;)
		if (m->streams[i].id == id)
			return &m->streams[i];
	return NULL;
}

static struct stream *add_stream(struct member *m, uint32_t id)
{
	if ((m->nstreams & (m->nstreams - 1)) == 0)
		m->streams = mem_resize(m->streams, (m->nstreams ? m->nstreams * 2 : 1) * sizeof *m->streams);
	struct stream *s = &m->streams[m->nstreams++];
	*s = (struct stream){.id = id, .total = UINT64_MAX, .fd = -1};
	return s;
}

static void send_ack(struct member *m, bool welcome)
{
	autojson json_t *streams = json_object();
	for (size_t i = 0; i < m->nstreams; i++) {
		struct stream *s = &m->streams[i];
		if (s->have == s->acked && !welcome)
			continue;
		s->acked = s->have;
		char name[16];
		snprintf(name, sizeof name, "%u", s->id);
		json_object_set_new(streams, name, json_integer((json_int_t)s->have));
	}
	m->since_ack = 0;
	if (!m->conn || (!welcome && json_object_size(streams) == 0))
		return;
	autojson json_t *ack = mem_json("{s:s, s:O}", "msg", "ack", "streams", streams);
	if (welcome)
		json_object_set_new(ack, "welcome", json_true());
	conn_send(m->conn, ack);
}

static void on_ack_time(void *data)
{
	struct server *s = data;
	s->ack_set = false;
	for (size_t i = 0; i < s->nmembers; i++)
		send_ack(&s->members[i], false);
}

static void note_received(struct member *m, size_t len)
{
	m->since_ack += len;
	if (m->since_ack >= ack_bytes)
		send_ack(m, false);
	else if (!m->server->ack_set) {
		m->server->ack_set = true;
		loop_timer_set(m->server->ack_timer, ack_delay);
	}
}

static bool is_complete(const struct member *m)
{
	for (size_t i = 0; i < m->nstreams; i++)
		if (m->streams[i].total != UINT64_MAX && m->streams[i].have < m->streams[i].total)
			return false;
	return m->left;
}

static void check_complete(struct member *m)
{
	if (m->complete || !is_complete(m))
		return;
	m->complete = true;
	send_ack(m, false);
	m->server->ops->on_complete(m->node, m->server->data);
}

static void trouble(struct member *m, const struct error *err)
{
	m->server->ops->on_trouble(err->text, m->server->data);
}

// --- files that come back -------------------------------------------------------

static int open_output(struct member *m, struct stream *s, struct error *err)
{
	autofree char *outputs = run_path(m->server->run, "outputs");
	autofree char *dir = mem_printf("%s/node-%zu", outputs, m->node);
	if (fs_mkdirs(dir, 0755, err) < 0)
		return -1;
	autoclose int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return error_errno(err, "cannot open '%s'", dir);
	if (fs_mkdirs_beneath(at, s->path, err) < 0)
		return -1;
	s->fd = fs_open_beneath(at, s->path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, s->mode & 0777, err);
	return s->fd < 0 ? -1 : 0;
}

static void close_file(struct stream *s)
{
	mem_cleanup_fd(&s->fd);
	s->fd = -1;
}

// An `output` event announces a file, or takes back what it said of its length. An empty file is all there already.
static void announce_file(struct member *m, const json_t *event)
{
	uint32_t id = (uint32_t)json_integer_value(json_object_get(event, "stream"));
	const char *path = json_string_value(json_object_get(event, "path"));
	struct stream *known = find_stream(m, id);
	if (known && known->path && json_is_false(json_object_get(event, "ok"))) {
		known->total = known->have; // its node cannot read it any further
		close_file(known);
		return;
	}
	if (id < stream_files || id >= stream_shells || !path || !fs_is_inside(path) || known)
		return;
	struct stream *s = add_stream(m, id);
	s->path = mem_strdup(path);
	s->mode = (unsigned)json_integer_value(json_object_get(event, "mode"));
	s->total = (uint64_t)json_integer_value(json_object_get(event, "bytes"));
	struct error err;
	if (s->total > 0)
		return;
	if (open_output(m, s, &err) < 0)
		trouble(m, &err);
	close_file(s);
}

static int write_file(struct member *m, struct stream *s, const void *bytes, size_t len, struct error *err)
{
	if (s->have + len > s->total)
		return error_set(err, ERROR_SYSTEM, "'%s' of node %zu is longer than was said", s->path, m->node);
	if (s->fd < 0 && open_output(m, s, err) < 0)
		return -1;
	if (fs_write_fd(s->fd, bytes, len, err) < 0)
		return error_wrap(err, "'%s' of node %zu", s->path, m->node);
	if (s->have + len == s->total)
		close_file(s);
	return 0;
}

// --- events ---------------------------------------------------------------------

static void set_totals(struct member *m, const json_t *event)
{
	const char *name;
	json_t *value;
	json_object_foreach(json_object_get(event, "streams"), name, value) {
		struct stream *s = find_stream(m, (uint32_t)strtoul(name, NULL, 10));
		if (s)
			s->total = (uint64_t)json_integer_value(value);
		else if (json_integer_value(value) > 0) {
			s = add_stream(m, (uint32_t)strtoul(name, NULL, 10));
			s->total = (uint64_t)json_integer_value(value);
		}
	}
	m->left = true;
}

static void on_event_line(struct member *m, const char *line, size_t len)
{
	struct error err = {0};
	autojson json_t *event = event_parse(line, len, &err);
	const json_t *node = event ? json_object_get(event, "node") : NULL;
	if (!event || !json_is_integer(node) || (size_t)json_integer_value(node) != m->node) {
		autofree char *why = mem_printf("node %zu sent what is no event of its own: %s", m->node, event ? "another node's" : err.text);
		m->server->ops->on_refused(m->conn ? conn_peer(m->conn) : "?", why, m->server->data);
		return;
	}
	if (event_is(event, "output"))
		announce_file(m, event);
	if (event_is(event, "left"))
		set_totals(m, event);
	m->server->ops->on_event(m->node, event, line, len, m->server->data);
}

static void split_events(struct member *m, const char *bytes, size_t len)
{
	const char *end;
	while (len && (end = memchr(bytes, '\n', len))) {
		size_t n = (size_t)(end - bytes);
		if (m->line.len) {
			str_add(&m->line, bytes, n);
			on_event_line(m, m->line.text, m->line.len);
			m->line.len = 0;
		} else
			on_event_line(m, bytes, n);
		bytes = end + 1;
		len -= n + 1;
	}
	str_add(&m->line, bytes, len);
	if (m->line.len > EVENT_LINE_MAX) {
		m->line.len = 0;
		conn_close(m->conn, "an event is too long");
	}
}

// --- what nodes send --------------------------------------------------------------

static int store(struct member *m, struct stream *s, const void *bytes, size_t len, struct error *err)
{
	if (s->id == stream_events) {
		split_events(m, bytes, len);
		return 0;
	}
	if (s->path)
		return write_file(m, s, bytes, len, err);
	return run_output(m->server->run, m->first + s->id - stream_ranks, bytes, len, err);
}

static void on_node_bytes(struct conn *conn, uint32_t id, uint64_t offset, const void *bytes, size_t len, void *data)
{
	struct member *m = data;
	if (m->server->stopped)
		return;
	m->server->ops->on_activity(m->server->data);
	if (id & stream_shells) {
		relay_node_bytes(m->server->relay, conn, id, bytes, len);
		return;
	}
	struct stream *s = find_stream(m, id);
	if (!s && id < stream_ranks + m->nranks)
		s = add_stream(m, id);
	if (!s || offset > s->have) {
		conn_close(conn, "bytes for a stream or an offset nobody announced");
		return;
	}
	uint64_t known = s->have - offset; // sent again after a broken line
	if (known >= len)
		return;
	struct error err = {0};
	size_t fresh = len - (size_t)known, at = (size_t)(s - m->streams);
	if (store(m, s, (const char *)bytes + known, fresh, &err) < 0) {
		trouble(m, &err);
		return;
	}
	m->streams[at].have += fresh; // an event may have added streams, and moved them
	note_received(m, fresh);
	check_complete(m);
}

static void on_node_text(struct conn *conn, json_t *msg, void *data)
{
	struct member *m = data;
	const char *kind = json_string_value(json_object_get(msg, "msg"));
	const char *name = json_string_value(json_object_get(msg, "name"));
	if (m->server->stopped || !kind)
		return;
	if (strcmp(kind, "fence") == 0 && name)
		m->server->ops->on_fence(m->node, name, json_object_get(msg, "data"), m->server->data);
	else if (strcmp(kind, "exec") == 0)
		relay_from_node(m->server->relay, conn, msg);
}

static void on_node_close(struct conn *conn, const char *why, void *data)
{
	struct member *m = data;
	relay_gone(m->server->relay, conn);
	if (m->conn != conn)
		return; // it has a newer one
	m->conn = NULL;
	if (!m->server->stopped)
		m->server->ops->on_away(m->node, why, m->server->data);
}

static void ignore_open(struct conn *conn, void *data)
{
}

static const struct conn_ops node_ops = {ignore_open, on_node_text, on_node_bytes, NULL, on_node_close};

// --- clients ----------------------------------------------------------------------

static struct conn *find_node(size_t node, void *data)
{
	struct server *s = data;
	return node < s->nmembers ? s->members[node].conn : NULL;
}

static void on_client_text(struct conn *conn, json_t *msg, void *data)
{
	struct server *s = data;
	relay_from_client(s->relay, conn, msg, find_node, s);
}

static void on_client_bytes(struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
	struct server *s = data;
	relay_client_bytes(s->relay, conn, bytes, len);
}

static void on_client_close(struct conn *conn, const char *why, void *data)
{
	struct server *s = data;
	relay_gone(s->relay, conn);
}

static const struct conn_ops client_ops = {ignore_open, on_client_text, on_client_bytes, NULL, on_client_close};

// --- strangers --------------------------------------------------------------------

static void refuse(struct server *s, struct conn *conn, const char *why)
{
	s->ops->on_refused(conn_peer(conn), why, s->data);
	autojson json_t *msg = mem_json("{s:s, s:s}", "msg", "refused", "why", why);
	conn_send(conn, msg);
	conn_close(conn, why);
}

static bool may_speak(const struct server *s, const json_t *msg, const char *who)
{
	char token[CRYPTO_HEX];
	crypto_token(s->secret, who, token);
	return crypto_equal(token, json_string_value(json_object_get(msg, "token")));
}

static void welcome_node(struct server *s, struct conn *conn, json_t *hello, size_t node)
{
	struct member *m = &s->members[node];
	struct conn *old = m->conn;
	bool again = m->seen;
	m->conn = conn;
	m->seen = true;
	conn_set(conn, &node_ops, m);
	conn_limit(conn, MESSAGE_MAX);
	if (old)
		conn_close(old, "the node has dialled again");
	send_ack(m, true);
	s->ops->on_hello(node, hello, again, s->data);
}

static void on_stranger_text(struct conn *conn, json_t *msg, void *data)
{
	struct server *s = data;
	const char *kind = json_string_value(json_object_get(msg, "msg"));
	const char *run = json_string_value(json_object_get(msg, "run"));
	json_int_t node = json_integer_value(json_object_get(msg, "node"));
	if (s->stopped)
		return;
	if (kind && strcmp(kind, "client") == 0) {
		if (!may_speak(s, msg, "client"))
			refuse(s, conn, "a client with a wrong token");
		else {
			conn_set(conn, &client_ops, s);
			autojson json_t *answer = mem_json("{s:s}", "msg", "welcome");
			conn_send(conn, answer);
		}
		return;
	}
	autofree char *who = mem_printf("node:%lld", (long long)node);
	if (!kind || strcmp(kind, "hello") != 0)
		refuse(s, conn, "it did not begin with hello");
	else if (!run || strcmp(run, s->run->id) != 0)
		refuse(s, conn, "a hello for another run");
	else if (node < 0 || (size_t)node >= s->nmembers || !may_speak(s, msg, who))
		refuse(s, conn, "a hello with a wrong token");
	else
		welcome_node(s, conn, msg, (size_t)node);
}

static void on_stranger_bytes(struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
	refuse(data, conn, "bytes before hello");
}

static void on_stranger_close(struct conn *conn, const char *why, void *data)
{
}

static const struct conn_ops stranger_ops = {ignore_open, on_stranger_text, on_stranger_bytes, NULL, on_stranger_close};

static void on_stillborn(const char *peer, void *data)
{
	struct server *s = data;
	if (!s->stopped)
		s->ops->on_refused(peer, "it does not speak our protocol", s->data);
}

// --- life -------------------------------------------------------------------------

struct server *server_new(struct loop *loop, const struct server_options *options, struct error *err)
{
	struct server *s = mem_alloc(sizeof *s);
	*s = (struct server){.loop = loop, .run = options->run, .ops = options->ops, .data = options->data, .secret = mem_strdup(options->secret)};
	const json_t *nodes = json_object_get(options->plan, "nodes"), *ranks = json_object_get(options->plan, "ranks");
	s->nmembers = json_array_size(nodes);
	s->members = mem_alloc(s->nmembers * sizeof *s->members);
	for (size_t i = 0; i < s->nmembers; i++)
		s->members[i] = (struct member){.server = s, .node = i};
	for (size_t i = json_array_size(ranks); i-- > 0;) {
		struct member *m = &s->members[json_integer_value(json_object_get(json_array_get(ranks, i), "node"))];
		m->first = i;
		m->nranks++;
	}
	s->relay = relay_new();
	s->ack_timer = loop_timer_new(loop, on_ack_time, s);
	int port = 0;
	unsigned heartbeat = (unsigned)json_integer_value(json_object_get(options->plan, "heartbeat"));
	if (crypto_identity_make(&s->identity, err) == 0)
		s->listener =
			conn_listen(loop, options->address, &port, &s->identity, heartbeat ? heartbeat : 5, &stranger_ops, on_stillborn, s, err);
	s->url = mem_printf("wss://%s:%d", options->address, port);
	if (!s->listener) {
		server_stop(s);
		server_free(s);
		return NULL;
	}
	return s;
}

void server_stop(struct server *s)
{
	s->stopped = true;
	loop_timer_free(steal(s->ack_timer));
}

void server_free(struct server *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nmembers; i++) {
		struct member *m = &s->members[i];
		for (size_t k = 0; k < m->nstreams; k++) {
			close_file(&m->streams[k]);
			free(m->streams[k].path);
		}
		free(m->streams);
		str_fini(&m->line);
	}
	free(s->members);
	relay_free(s->relay);
	conn_listener_free(s->listener);
	crypto_identity_fini(&s->identity);
	free(s->secret);
	free(s->url);
	free(s);
}

const char *server_url(const struct server *s)
{
	return s->url;
}

const char *server_fingerprint(const struct server *s)
{
	return s->identity.fingerprint;
}

bool server_connected(const struct server *s, size_t node)
{
	return s->members[node].conn != NULL;
}

size_t server_count_connected(const struct server *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->nmembers; i++)
		n += s->members[i].conn != NULL;
	return n;
}

void server_send(struct server *s, size_t node, const json_t *msg)
{
	if (s->members[node].conn)
		conn_send(s->members[node].conn, msg);
}

void server_send_all(struct server *s, const json_t *msg)
{
	autofree char *text = json_dumps(msg, JSON_COMPACT);
	for (size_t i = 0; i < s->nmembers; i++)
		if (s->members[i].conn)
			conn_send_text(s->members[i].conn, text, strlen(text));
}
