#include "base/mem.h"
#include "controller/exec_relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

// In place of wire/conn.c: connections that only count, and remember what they were sent last.
struct conn {
	size_t texts, bytes, closed;
	uint32_t stream;
	json_t *last;
};

void conn_send(struct conn *conn, const json_t *msg)
{
	conn->texts++;
	json_decref(conn->last);
	conn->last = json_deep_copy(msg);
}

void conn_send_bytes(struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len)
{
	conn->bytes += len;
	conn->stream = stream;
}

size_t conn_queued(const struct conn *conn)
{
	return 0;
}

void conn_close(struct conn *conn, const char *why)
{
	conn->closed++;
}

struct world {
	struct exec_relay *relay;
	size_t count;
	struct conn *nodes, client, other;
};

static struct conn *find_node(size_t node, void *data)
{
	struct world *w = data;
	return node < w->count ? &w->nodes[node] : NULL;
}

static struct world *world_new(size_t nodes)
{
	struct world *w = mem_alloc(sizeof *w);
	w->relay = exec_relay_new();
	w->count = nodes;
	w->nodes = mem_alloc(nodes * sizeof *w->nodes);
	return w;
}

static void world_free(struct world *w)
{
	exec_relay_free(w->relay);
	for (size_t i = 0; i < w->count; i++)
		json_decref(w->nodes[i].last);
	json_decref(w->client.last);
	json_decref(w->other.last);
	free(w->nodes);
	free(w);
}

static void start(struct world *w, struct conn *client, int session, int node)
{
	autojson json_t *msg =
		mem_json("{s:s, s:i, s:i, s:[s]}", "msg", "exec", "session", session, "node", node, "argv", "true");
	exec_relay_from_client(w->relay, client, msg, find_node, w);
}

static json_int_t number(const struct conn *conn, const char *name)
{
	return json_integer_value(json_object_get(conn->last, name));
}

static void end(struct world *w, size_t node, json_int_t id)
{
	autojson json_t *msg = mem_json("{s:s, s:I, s:i}", "msg", "exec", "id", id, "status", 0);
	exec_relay_from_node(w->relay, &w->nodes[node], msg);
}

static void test_messages_find_their_session(void **state)
{
	struct world *w = world_new(2);
	start(w, &w->client, 7, 1);
	json_int_t first = number(&w->nodes[1], "id");
	start(w, &w->other, 7, 1);
	json_int_t second = number(&w->nodes[1], "id");
	assert_int_not_equal(first, second);
	exec_relay_client_bytes(w->relay, &w->client, 7, "abc", 3);
	assert_int_equal(w->nodes[1].stream, (1u << 31) | first);
	exec_relay_node_bytes(w->relay, &w->nodes[1], (1u << 31) | (uint32_t)second, "abcd", 4);
	assert_int_equal(w->other.bytes, 4);
	exec_relay_node_bytes(w->relay, &w->nodes[0], (1u << 31) | (uint32_t)second, "x", 1); // not its own
	end(w, 0, second);
	assert_int_equal(w->other.bytes, 4);
	assert_int_equal(w->other.texts, 0);
	end(w, 1, first);
	assert_int_equal(number(&w->client, "session"), 7);
	exec_relay_client_bytes(w->relay, &w->client, 7, "abc", 3); // has ended
	assert_int_equal(w->nodes[1].bytes, 3);
	start(w, &w->client, 8, 2);
	assert_non_null(json_object_get(w->client.last, "error"));
	world_free(w);
}

static void test_sessions_end_with_their_connection(void **state)
{
	struct world *w = world_new(2);
	for (int i = 0; i < 6; i++)
		start(w, i % 2 ? &w->client : &w->other, i, i < 3);
	exec_relay_gone(w->relay, &w->client);
	for (size_t i = 0; i < 2; i++)
		assert_true(json_is_true(json_object_get(w->nodes[i].last, "gone")));
	assert_int_equal(w->nodes[0].texts + w->nodes[1].texts, 6 + 3);
	exec_relay_gone(w->relay, &w->nodes[1]);
	assert_int_equal(w->other.texts, 2);
	assert_non_null(json_object_get(w->other.last, "error"));
	exec_relay_client_bytes(w->relay, &w->other, 4, "x", 1);
	assert_int_equal(w->nodes[0].bytes, 1);
	world_free(w);
}

// A session on each of so many nodes: what looks through all of them for each message takes minutes.
static void test_many_sessions(void **state)
{
	enum { MANY = 60000 };
	struct world *w = world_new(MANY);
	for (int i = 0; i < MANY; i++)
		start(w, &w->client, i, i);
	for (size_t i = 0; i < MANY; i++) {
		exec_relay_client_bytes(w->relay, &w->client, (uint32_t)i, "x", 1);
		assert_int_equal(w->nodes[i].bytes, 1);
		exec_relay_node_bytes(w->relay, &w->nodes[i], (uint32_t)number(&w->nodes[i], "id"), "x", 1);
	}
	assert_int_equal(w->client.bytes, MANY);
	for (size_t i = 0; i < MANY; i++)
		if (i % 2)
			end(w, i, number(&w->nodes[i], "id"));
		else
			exec_relay_gone(w->relay, &w->nodes[i]);
	assert_int_equal(w->client.texts, MANY);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages_find_their_session),
		cmocka_unit_test(test_sessions_end_with_their_connection), cmocka_unit_test(test_many_sessions)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
