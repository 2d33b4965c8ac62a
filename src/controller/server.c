#include "controller/server.h"

#include "base/json.h"
#include "base/mem.h"
#include "controller/exec_relay.h"
#include "controller/input_server.h"
#include "controller/node_streams.h"
#include "controller/token.h"
#include "job/heartbeat.h"
#include "job/plan.h"
#include "wire/conn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	MESSAGE_MAX = 64 << 20,
	NAME_MAX_BYTES = 255,
	ADDRESSES_MAX = 8,
	ERRANDS = 1 << 29
}; // the ids of our own commands, above those of clients
static const uint32_t stream_shells = 1u << 31;
static const size_t ack_bytes = 1 << 20; // acknowledge at least this often
static const double ack_delay = 0.02;
static const unsigned hello_within = 10; // seconds a stranger may stay silent
static const size_t strangers_spare =
	64; // so many more than there are nodes may be here before they have said who they are

struct member {
	struct server *server;
	size_t node, first, nranks;
	struct conn *conn;
	bool seen, complete, due; // due: an acknowledgement
	bool keeps;               // an output of this node could not be written
	struct node_streams *streams;
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
	struct exec_relay *relay;
	struct input_server *input_server;
	struct member **members;
	size_t nmembers, connected, strangers, errands;
	size_t *due, ndue, due_size; // nodes that are due an acknowledgement; what became of them since is the flag's
	int port;
	struct loop_timer *ack_timer;
	bool ack_set, stopped;
};

static void set_conn(struct member *m, struct conn *conn)
{
	m->server->connected += conn != NULL;
	m->server->connected -= m->conn != NULL;
	m->conn = conn;
}

// --- streams ------------------------------------------------------------------

static void send_ack(struct member *m, bool welcome)
{
	autojson json_t *ack = node_streams_acks(m->streams, welcome);
	m->since_ack = 0;
	m->due = false;
	if (!m->conn || (!welcome && json_object_size(json_object_get(ack, "streams")) == 0 && !json_has(ack, "files")))
		return;
	json_object_set_new(ack, "msg", json_string("ack"));
	if (welcome)
		json_object_set_new(ack, "welcome", json_true());
	conn_send(m->conn, ack);
}

static void on_ack_time(void *data)
{
	struct server *s = data;
	s->ack_set = false;
	size_t count = s->ndue;
	autofree size_t *due = steal(s->due);
	s->ndue = s->due_size = 0;
	for (size_t i = 0; i < count; i++)
		if (due[i] < s->nmembers && s->members[due[i]]->due)
			send_ack(s->members[due[i]], false);
}

static void set_due(struct member *m)
{
	struct server *s = m->server;
	if (m->due)
		return;
	m->due = true;
	if (s->ndue == s->due_size) {
		s->due_size = s->due_size ? 2 * s->due_size : 64;
		s->due = mem_resize(s->due, s->due_size * sizeof *s->due);
	}
	s->due[s->ndue++] = m->node;
}

static void note_received(struct member *m, size_t len)
{
	m->since_ack += len;
	if (m->since_ack >= ack_bytes)
		send_ack(m, false);
	else
		set_due(m);
	if (m->due && !m->server->ack_set) {
		m->server->ack_set = true;
		loop_timer_set(m->server->ack_timer, ack_delay);
	}
}

static void check_complete(struct member *m)
{
	if (m->complete || !node_streams_is_complete(m->streams))
		return;
	m->complete = true;
	send_ack(m, false);
	m->server->ops->on_complete(m->node, m->server->data);
}

static void on_event(json_t *event, const char *line, size_t len, void *data)
{
	struct member *m = data;
	m->server->ops->on_event(m->node, event, line, len, m->server->data);
}

static void on_bad(const char *why, void *data)
{
	struct member *m = data;
	m->server->ops->on_refused(m->conn ? conn_peer(m->conn) : "?", why, m->server->data);
}

static void on_trouble(const char *why, void *data)
{
	struct member *m = data;
	m->server->ops->on_trouble(why, m->server->data);
}

// Said before the bytes are acknowledged: the node must not leave without having heard it.
static void on_lost(const char *path, const char *why, void *data)
{
	struct member *m = data;
	autojson json_t *msg = mem_json("{s:s}", "msg", "keep");
	m->keeps = true;
	if (m->conn)
		conn_send(m->conn, msg);
	m->server->ops->on_lost(m->node, path, why, m->server->data);
}

static const struct node_streams_ops node_streams_ops = {on_event, on_bad, on_trouble, on_lost};

// --- what nodes are sent ------------------------------------------------------------

static void send_to(size_t node, json_t *msg, void *data)
{
	server_send(data, node, msg);
	json_decref(msg);
}

static void wake_node(size_t node, void *data)
{
	struct server *s = data;
	if (s->members[node]->conn)
		conn_wake(s->members[node]->conn);
}

static void on_bad_ask(size_t node, const char *why, void *data)
{
	struct server *s = data;
	on_bad(why, s->members[node]);
}

static void on_fetched(json_t *event, void *data)
{
	struct server *s = data;
	s->ops->on_fetched(event, s->data);
}

static const struct input_server_ops input_server_ops = {send_to, wake_node, on_bad_ask, on_fetched};

static size_t fill_node(struct conn *conn, uint32_t *stream, uint64_t *offset, void *buf, size_t size, void *data)
{
	struct member *m = data;
	return m->conn == conn ? input_server_fill(m->server->input_server, m->node, stream, offset, buf, size) : 0;
}

// --- what nodes send --------------------------------------------------------------

static void on_node_bytes(struct conn *conn, uint32_t id, uint64_t offset, const void *bytes, size_t len, void *data)
{
	struct member *m = data;
	if (m->server->stopped)
		return;
	m->server->ops->on_activity(m->server->data);
	if (id & stream_shells) {
		exec_relay_node_bytes(m->server->relay, conn, id, bytes, len);
		return;
	}
	struct error err = {0};
	size_t fresh;
	if (node_streams_take(m->streams, id, offset, bytes, len, &fresh, &err) < 0) {
		conn_close(conn, err.text);
		return;
	}
	note_received(m, fresh);
	check_complete(m);
}

static void end_errand(struct member *m, const json_t *msg)
{
	const json_t *status = json_object_get(msg, "status");
	m->server->ops->on_errand(m->node, (uint32_t)json_integer_value(json_object_get(msg, "id")),
		json_is_integer(status) && json_integer_value(status) == 0, m->server->data);
}

static void on_node_text(struct conn *conn, json_t *msg, void *data)
{
	struct member *m = data;
	const char *kind = json_string_value(json_object_get(msg, "msg"));
	const char *name = json_string_value(json_object_get(msg, "name"));
	if (m->server->stopped || !kind)
		return;
	if (strcmp(kind, "busy") == 0)
		m->server->ops->on_activity(m->server->data);
	else if (strcmp(kind, "fence") == 0 && name && strlen(name) <= NAME_MAX_BYTES)
		m->server->ops->on_fence(m->node, name, json_object_get(msg, "data"), m->server->data);
	else if (strcmp(kind, "input") == 0 && m->conn == conn)
		input_server_ask(m->server->input_server, m->node, msg);
	else if (strcmp(kind, "exec") == 0 && json_integer_value(json_object_get(msg, "id")) >= ERRANDS) {
		if (!json_object_get(msg, "taken"))
			end_errand(m, msg);
	} else if (strcmp(kind, "exec") == 0)
		exec_relay_from_node(m->server->relay, conn, msg);
}

static void on_node_close(struct conn *conn, const char *why, void *data)
{
	struct member *m = data;
	exec_relay_gone(m->server->relay, conn);
	if (m->conn != conn)
		return; // it has a newer one
	set_conn(m, NULL);
	input_server_away(m->server->input_server, m->node);
	if (!m->server->stopped)
		m->server->ops->on_away(m->node, conn_heard(conn), why, m->server->data);
}

static void ignore_open(struct conn *conn, void *data)
{
}

static const struct conn_ops node_ops = {ignore_open, on_node_text, on_node_bytes, fill_node, on_node_close};

// --- clients ----------------------------------------------------------------------

static struct conn *find_node(size_t node, void *data)
{
	struct server *s = data;
	return node < s->nmembers ? s->members[node]->conn : NULL;
}

static void on_client_text(struct conn *conn, json_t *msg, void *data)
{
	struct server *s = data;
	const char *kind = json_string_value(json_object_get(msg, "msg"));
	if (s->stopped || !kind)
		return;
	if (strcmp(kind, "exec") == 0)
		exec_relay_from_client(s->relay, conn, msg, find_node, s);
	else
		s->ops->on_request(conn, msg, s->data);
}

static void on_client_bytes(
	struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
	struct server *s = data;
	exec_relay_client_bytes(s->relay, conn, stream, bytes, len);
}

static void on_client_close(struct conn *conn, const char *why, void *data)
{
	struct server *s = data;
	exec_relay_gone(s->relay, conn);
	if (!s->stopped)
		s->ops->on_client_gone(conn, s->data);
}

static const struct conn_ops client_ops = {ignore_open, on_client_text, on_client_bytes, NULL, on_client_close};

// --- strangers --------------------------------------------------------------------

static void ignore_text(struct conn *conn, json_t *msg, void *data)
{
}

static void ignore_bytes(struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
}

static void ignore_close(struct conn *conn, const char *why, void *data)
{
}

static const struct conn_ops refused_ops = {ignore_open, ignore_text, ignore_bytes, NULL, ignore_close};

// It is a stranger no more.
static void receive_as(struct server *s, struct conn *conn, const struct conn_ops *ops, void *data)
{
	s->strangers--;
	conn_expire(conn, 0);
	conn_set(conn, ops, data);
}

static void refuse(struct server *s, struct conn *conn, const char *why)
{
	receive_as(s, conn, &refused_ops, s);
	s->ops->on_refused(conn_peer(conn), why, s->data);
	autojson json_t *msg = mem_json("{s:s, s:s}", "msg", "refused", "why", why);
	conn_send(conn, msg);
	conn_close(conn, why);
}

// Other nodes put these into their files and commands.
static bool is_name(const json_t *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:%";
	const char *name = json_string_value(text);
	return name && *name && strlen(name) <= NAME_MAX_BYTES && name[strspn(name, allowed)] == '\0';
}

static bool are_names(const json_t *list)
{
	size_t i;
	const json_t *name;
	if (!json_is_array(list) || json_array_size(list) > ADDRESSES_MAX)
		return false;
	json_array_foreach (list, i, name)
		if (!is_name(name))
			return false;
	return true;
}

static bool is_hello(const json_t *msg)
{
	const json_t *addresses = json_object_get(msg, "addresses");
	json_int_t port = json_integer_value(json_object_get(msg, "port"));
	return is_name(json_object_get(msg, "name")) && is_name(json_object_get(msg, "address")) &&
	       json_is_string(json_object_get(msg, "machine")) && json_is_object(json_object_get(msg, "facts")) &&
	       port > 0 && port < 65536 && (!addresses || are_names(addresses));
}

static void welcome_node(struct server *s, struct conn *conn, json_t *hello, size_t node)
{
	struct member *m = s->members[node];
	struct conn *old = m->conn;
	bool again = m->seen;
	set_conn(m, conn);
	m->seen = true;
	input_server_away(s->input_server, node);
	receive_as(s, conn, &node_ops, m);
	conn_limit(conn, MESSAGE_MAX);
	if (old)
		conn_close(old, "the node connected again");
	autojson json_t *keep = mem_json("{s:s}", "msg", "keep");
	if (m->keeps)
		conn_send(conn, keep);
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
	const char *token = json_string_value(json_object_get(msg, "token"));
	if (kind && strcmp(kind, "client") == 0) {
		if (!token_is_of_client(s->secret, token))
			refuse(s, conn, "a client with a wrong token");
		else {
			receive_as(s, conn, &client_ops, s);
			autojson json_t *answer = mem_json("{s:s}", "msg", "welcome");
			conn_send(conn, answer);
		}
		return;
	}
	if (!kind || strcmp(kind, "hello") != 0)
		refuse(s, conn, "the first message is not hello");
	else if (!run || strcmp(run, s->run->id) != 0)
		refuse(s, conn, "a hello for another run");
	else if (node < 0 || (size_t)node >= s->nmembers || !token_is_of_node(s->secret, (size_t)node, token))
		refuse(s, conn, "a hello with a wrong token");
	else if (!is_hello(msg))
		refuse(s, conn, "a hello without a name, an address, a port, a machine and facts");
	else
		welcome_node(s, conn, msg, (size_t)node);
}

static void on_stranger_bytes(
	struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
	refuse(data, conn, "bytes before hello");
}

static void on_stranger_open(struct conn *conn, void *data)
{
	struct server *s = data;
	s->strangers++;
	conn_expire(conn, hello_within);
	if (s->strangers > s->nmembers + strangers_spare)
		refuse(s, conn, "too many connections without hello");
}

static void on_stranger_close(struct conn *conn, const char *why, void *data)
{
	struct server *s = data;
	s->strangers--;
	if (!s->stopped)
		s->ops->on_refused(conn_peer(conn), "no hello in time", s->data);
}

static const struct conn_ops stranger_ops = {
	on_stranger_open, on_stranger_text, on_stranger_bytes, NULL, on_stranger_close};

static void on_stillborn(const char *peer, void *data)
{
	struct server *s = data;
	if (!s->stopped)
		s->ops->on_refused(peer, "not muster's protocol", s->data);
}

// --- life -------------------------------------------------------------------------

static struct member *member_new(struct server *s, size_t node, size_t first, size_t nranks)
{
	struct member *m = mem_alloc(sizeof *m);
	*m = (struct member){.server = s, .node = node, .first = first, .nranks = nranks};
	m->streams = node_streams_new(s->run, node, first, nranks, &node_streams_ops, m);
	return m;
}

static void member_free(struct member *m)
{
	node_streams_free(m->streams);
	free(m);
}

static void add_members(struct server *s, const json_t *plan)
{
	s->nmembers = plan_nodes(plan);
	s->members = mem_alloc(s->nmembers * sizeof *s->members);
	autofree size_t *first = mem_alloc(s->nmembers * sizeof *first);
	autofree size_t *nranks = mem_alloc(s->nmembers * sizeof *nranks);
	for (size_t i = plan_ranks(plan); i-- > 0;) {
		size_t node = plan_rank(plan, i).node;
		first[node] = i;
		nranks[node]++;
	}
	for (size_t i = 0; i < s->nmembers; i++)
		s->members[i] = member_new(s, i, first[i], nranks[i]);
}

struct server *server_new(struct loop *loop, const struct server_options *options, struct error *err)
{
	struct server *s = mem_alloc(sizeof *s);
	*s = (struct server){.loop = loop,
		.run = options->run,
		.ops = options->ops,
		.data = options->data,
		.secret = mem_strdup(options->secret),
		.port = options->port};
	add_members(s, options->plan);
	s->relay = exec_relay_new();
	s->ack_timer = loop_timer_new(loop, on_ack_time, s);
	unsigned heartbeat = (unsigned)ceil(plan_heartbeat(options->plan));
	s->input_server = input_server_new(loop, options->plan, s->run->dir, s->run->dir, &input_server_ops, s, err);
	if (options->identity)
		s->identity = *options->identity;
	if (s->input_server && (options->identity || crypto_identity_make(&s->identity, err) == 0))
		s->listener = conn_listen(loop, options->address, &s->port, &s->identity,
			heartbeat ? heartbeat : HEARTBEAT_PERIOD, &stranger_ops, on_stillborn, s, err);
	s->url = mem_printf("wss://%s:%d", options->address, s->port);
	if (!s->listener) {
		server_stop(s);
		server_free(s);
		return NULL;
	}
	return s;
}

// A member's connection outlives it by what is still to be said.
static void dismiss(struct member *m, const char *why)
{
	if (!m->conn)
		return;
	struct conn *conn = m->conn;
	set_conn(m, NULL);
	exec_relay_gone(m->server->relay, conn);
	conn_set(conn, &refused_ops, m->server);
	conn_close(conn, why);
}

void server_resize(struct server *s, size_t count)
{
	for (size_t i = count; i < s->nmembers; i++) {
		dismiss(s->members[i], "the cluster was scaled down");
		member_free(s->members[i]);
	}
	s->members = mem_resize(s->members, count * sizeof *s->members);
	for (size_t i = s->nmembers; i < count; i++)
		s->members[i] = member_new(s, i, 0, 0);
	s->nmembers = count;
	input_server_resize(s->input_server, count);
}

void server_forget(struct server *s, size_t node)
{
	struct member *m = s->members[node];
	dismiss(m, "the node is lost");
	input_server_away(s->input_server, node);
	s->members[node] = member_new(s, node, m->first, m->nranks);
	member_free(m);
}

void server_stop(struct server *s)
{
	s->stopped = true;
	input_server_stop(s->input_server);
	loop_timer_free(steal(s->ack_timer));
}

void server_free(struct server *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nmembers; i++)
		member_free(s->members[i]);
	free(s->members);
	free(s->due);
	exec_relay_free(s->relay);
	input_server_free(s->input_server);
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

uint32_t server_errand(struct server *s, size_t node, const json_t *argv)
{
	if (!server_connected(s, node))
		return 0;
	uint32_t errand = (uint32_t)(ERRANDS + s->errands++ % ERRANDS);
	autojson json_t *msg =
		mem_json("{s:s, s:i, s:O, s:b}", "msg", "exec", "id", (int)errand, "argv", argv, "agent", 1);
	server_send(s, node, msg);
	return errand;
}

int server_port(const struct server *s)
{
	return s->port;
}

const struct crypto_identity *server_identity(const struct server *s)
{
	return &s->identity;
}

const char *server_fingerprint(const struct server *s)
{
	return s->identity.fingerprint;
}

bool server_connected(const struct server *s, size_t node)
{
	return s->members[node]->conn != NULL;
}

size_t server_count_connected(const struct server *s)
{
	return s->connected;
}

void server_send(struct server *s, size_t node, const json_t *msg)
{
	if (s->members[node]->conn)
		conn_send(s->members[node]->conn, msg);
}

void server_send_message(struct server *s, size_t node, struct conn_message *message)
{
	if (s->members[node]->conn)
		conn_send_message(s->members[node]->conn, message);
}

void server_send_all(struct server *s, const json_t *msg)
{
	struct conn_message *message = conn_message_new(msg);
	for (size_t i = 0; i < s->nmembers; i++)
		server_send_message(s, i, message);
	conn_message_free(message);
}
