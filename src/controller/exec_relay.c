#include "controller/exec_relay.h"

#include "base/mem.h"

#include <search.h>
#include <stdlib.h>

static const uint32_t shell_streams = 1u << 31, shell_errors = 1u << 30;
static const size_t client_queue_max = 64
				       << 20; // a client that does not read is dropped before it costs more than this

struct session {
	uint32_t id;     // at the node
	uint32_t number; // at the client
	struct conn *client, *node;
};

// A client may have a session on each of thousands of nodes, and every message is looked up: the sessions are in two
// trees.
struct exec_relay {
	void *by_client, *by_node;
	uint32_t last_id;
};

static int compare(uintptr_t a, uintptr_t b)
{
	return a < b ? -1 : a > b;
}

static int same_client(const void *a, const void *b)
{
	const struct session *x = a, *y = b;
	return compare((uintptr_t)x->client, (uintptr_t)y->client);
}

static int same_node(const void *a, const void *b)
{
	const struct session *x = a, *y = b;
	return compare((uintptr_t)x->node, (uintptr_t)y->node);
}

static int by_client(const void *a, const void *b)
{
	const struct session *x = a, *y = b;
	int client = same_client(a, b);
	return client ? client : compare(x->number, y->number);
}

static int by_node(const void *a, const void *b)
{
	const struct session *x = a, *y = b;
	int node = same_node(a, b);
	return node ? node : compare(x->id, y->id);
}

static struct session *look_up(const struct session *key, void *const *tree, int (*order)(const void *, const void *))
{
	struct session **found = tfind(key, tree, order);
	return found ? *found : NULL;
}

static struct session *find_client(struct exec_relay *relay, struct conn *client, uint32_t number)
{
	return look_up(&(struct session){.client = client, .number = number}, &relay->by_client, by_client);
}

static struct session *find_id(struct exec_relay *relay, uint32_t id, struct conn *node)
{
	return look_up(&(struct session){.node = node, .id = id}, &relay->by_node, by_node);
}

static struct session *add(struct exec_relay *relay, struct conn *client, uint32_t number, struct conn *node)
{
	struct session *s = mem_alloc(sizeof *s);
	*s = (struct session){.id = ++relay->last_id, .number = number, .client = client, .node = node};
	if (!tsearch(s, &relay->by_client, by_client) || !tsearch(s, &relay->by_node, by_node))
		abort(); // out of memory
	return s;
}

static void drop(struct exec_relay *relay, struct session *session)
{
	tdelete(session, &relay->by_client, by_client);
	tdelete(session, &relay->by_node, by_node);
	free(session);
}

static void tell_error(struct conn *client, uint32_t number, const char *why)
{
	autojson json_t *msg = mem_json("{s:s, s:i, s:s}", "msg", "exec", "session", (int)number, "error", why);
	conn_send(client, msg);
}

void exec_relay_from_client(struct exec_relay *relay, struct conn *client, json_t *msg,
	struct conn *(*find)(size_t node, void *data), void *data)
{
	json_int_t mark = json_integer_value(json_object_get(msg, "session"));
	uint32_t own = mark >= 0 && mark < shell_errors ? (uint32_t)mark : 0;
	struct session *s = find_client(relay, client, own);
	if (!s && !json_object_get(msg, "node"))
		return; // it has ended meanwhile
	if (!s) {
		json_int_t number = json_integer_value(json_object_get(msg, "node"));
		struct conn *node = find((size_t)number, data);
		if (!node || !json_is_array(json_object_get(msg, "argv"))) {
			autofree char *why = node ? mem_strdup("there is no command to run")
						  : mem_printf("node %lld is not connected", (long long)number);
			tell_error(client, own, why);
			return;
		}
		s = add(relay, client, own, node);
	}
	json_object_set_new(msg, "id", json_integer(s->id));
	conn_send(s->node, msg);
	if (json_object_get(msg, "gone"))
		drop(relay, s);
}

void exec_relay_client_bytes(
	struct exec_relay *relay, struct conn *client, uint32_t session, const void *bytes, size_t len)
{
	struct session *s = find_client(relay, client, session);
	if (s)
		conn_send_bytes(s->node, shell_streams | s->id, 0, bytes, len);
}

void exec_relay_from_node(struct exec_relay *relay, struct conn *node, const json_t *msg)
{
	struct session *s = find_id(relay, (uint32_t)json_integer_value(json_object_get(msg, "id")), node);
	if (!s)
		return;
	autojson json_t *own = json_copy((json_t *)msg);
	json_object_set_new(own, "session", json_integer(s->number));
	json_object_del(own, "id");
	conn_send(s->client, own);
	if (!json_object_get(msg, "taken"))
		drop(relay, s);
}

void exec_relay_node_bytes(struct exec_relay *relay, struct conn *node, uint32_t stream, const void *bytes, size_t len)
{
	struct session *s = find_id(relay, stream & ~(shell_streams | shell_errors), node);
	if (!s)
		return;
	if (conn_queued(s->client) > client_queue_max)
		conn_close(s->client, "the receiver does not read");
	else
		conn_send_bytes(s->client, (stream & (shell_streams | shell_errors)) | s->number, 0, bytes, len);
}

void exec_relay_gone(struct exec_relay *relay, struct conn *conn)
{
	struct session key = {.client = conn, .node = conn}, *s;
	while ((s = look_up(&key, &relay->by_client, same_client))) {
		autojson json_t *msg = mem_json("{s:s, s:i, s:b}", "msg", "exec", "id", (int)s->id, "gone", 1);
		conn_send(s->node, msg);
		drop(relay, s);
	}
	while ((s = look_up(&key, &relay->by_node, same_node))) {
		tell_error(s->client, s->number, "the connection to the node broke");
		drop(relay, s);
	}
}

struct exec_relay *exec_relay_new(void)
{
	return mem_alloc(sizeof(struct exec_relay));
}

void exec_relay_free(struct exec_relay *relay)
{
	while (relay && relay->by_node)
		drop(relay, *(struct session **)relay->by_node);
	free(relay);
}
