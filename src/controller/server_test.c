#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/server.h"
#include "wire/conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

// A server of two nodes with a rank each, and somebody who dials it and says one thing.
struct world {
	char top[32];
	struct run *run;
	struct loop *loop;
	struct server *server;
	struct conn *conn;
	struct loop_timer *limit;
	json_t *say;       // a message
	const char *bytes; // bytes of stream 0 behind it
	bool late, closed;
	size_t hellos, events, refused, fences, requests, clients_gone;
	char why[400];
	json_t *heard; // the last message
};

static void on_hello(size_t node, json_t *hello, bool again, void *data)
{
	struct world *w = data;
	w->hellos++;
}

static void on_event(size_t node, json_t *event, const char *line, size_t len, void *data)
{
	struct world *w = data;
	w->events++;
	loop_stop(w->loop);
}

static void on_fence(size_t node, const char *name, json_t *brought, void *data)
{
	((struct world *)data)->fences++;
}

static void on_node(size_t node, void *data)
{
}

static void on_away(size_t node, double heard, const char *why, void *data)
{
}

static void on_refused(const char *peer, const char *why, void *data)
{
	struct world *w = data;
	w->refused++;
	snprintf(w->why, sizeof w->why, "%s", why);
}

static void on_lost(size_t node, const char *path, const char *why, void *data)
{
}

static void on_trouble(const char *why, void *data)
{
	fail_msg("%s", why);
}

static void on_activity(void *data)
{
}

static void on_errand(size_t node, uint32_t errand, bool ok, void *data)
{
}

static void on_fetched(json_t *event, void *data)
{
	json_decref(event);
}

static void on_request(struct conn *client, const json_t *msg, void *data)
{
	struct world *w = data;
	w->requests++;
	conn_send(client, msg); // back to who asked
}

static void on_client_gone(struct conn *client, void *data)
{
	struct world *w = data;
	w->clients_gone++;
}

static const struct server_ops server_ops = {on_hello, on_event, on_fence, on_node, on_away, on_refused, on_trouble,
	on_lost, on_activity, on_request, on_client_gone, on_errand, on_fetched};

static void peer_open(struct conn *conn, void *data)
{
	struct world *w = data;
	if (w->say)
		conn_send(conn, w->say);
	if (w->bytes)
		conn_send_bytes(conn, 0, 0, w->bytes, strlen(w->bytes));
}

static void peer_text(struct conn *conn, json_t *msg, void *data)
{
	struct world *w = data;
	json_decref(w->heard);
	w->heard = json_incref(msg);
	if (!w->bytes)
		loop_stop(w->loop);
}

static void peer_bytes(struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
}

static void peer_close(struct conn *conn, const char *why, void *data)
{
	struct world *w = data;
	if (conn != w->conn)
		return; // of a conversation before
	w->closed = true;
	loop_stop(w->loop);
}

static const struct conn_ops peer_ops = {peer_open, peer_text, peer_bytes, NULL, peer_close};

static void on_limit(void *data)
{
	struct world *w = data;
	w->late = true;
	loop_stop(w->loop);
}

static int set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);
	struct error err = {0};
	strcpy(w->top, "server-test-XXXXXX");
	assert_non_null(mkdtemp(w->top));
	autojson json_t *plan = mem_json("{s:[{s:i}, {s:i}], s:[{s:i, s:i}, {s:i, s:i}]}", "nodes", "node", 0, "node",
		1, "ranks", "rank", 0, "node", 0, "rank", 1, "node", 1);
	w->run = run_create(w->top, "test", NULL, 0, plan, NULL);
	w->loop = loop_new(256, &err);
	struct server_options options = {
		.run = w->run, .plan = plan, .address = "127.0.0.1", .secret = "secret", .ops = &server_ops, .data = w};
	w->server = server_new(w->loop, &options, &err);
	assert_non_null(w->server);
	w->limit = loop_timer_new(w->loop, on_limit, w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	server_stop(w->server);
	loop_timer_free(w->limit);
	loop_free(w->loop);
	server_free(w->server);
	run_free(w->run);
	json_decref(w->say);
	json_decref(w->heard);
	assert_int_equal(fs_remove(w->top, NULL), 0);
	free(w);
	return 0;
}

// Dials and runs until an answer, an event or the end of the connection.
static void converse(struct world *w)
{
	struct error err = {0};
	w->closed = false;
	w->conn = conn_dial(w->loop, server_url(w->server), server_fingerprint(w->server), 5, &peer_ops, w, &err);
	assert_non_null(w->conn);
	loop_timer_set(w->limit, 20);
	loop_run(w->loop);
	assert_false(w->late);
}

static json_t *make_hello(struct world *w, int node, const char *secret)
{
	char token[CRYPTO_HEX];
	autofree char *who = mem_printf("node:%d", node);
	crypto_token(secret, who, token);
	return mem_json("{s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:i, s:{}}", "msg", "hello", "run", w->run->id, "node",
		node, "token", token, "address", "127.0.0.2", "name", "node-0", "machine", "m", "port", 4711, "facts");
}

static void expect_refused(struct world *w, const char *why)
{
	converse(w);
	assert_non_null(strstr(w->why, why));
	assert_int_equal(w->hellos, 0);
	assert_string_equal(json_string_value(json_object_get(w->heard, "msg")), "refused");
}

static void test_welcome(void **state)
{
	struct world *w = *state;
	w->say = make_hello(w, 1, "secret");
	converse(w);
	assert_int_equal(w->hellos, 1);
	assert_true(json_is_true(json_object_get(w->heard, "welcome")));
	assert_true(server_connected(w->server, 1));
	assert_false(server_connected(w->server, 0));
}

static void test_events_of_a_node(void **state)
{
	struct world *w = *state;
	w->say = make_hello(w, 1, "secret");
	w->bytes = "{\"ts\":1,\"type\":\"end\",\"node\":1,\"outcome\":\"ok\"}\nrubbish\n{\"ts\":1,\"type\":\"exit\","
		   "\"node\":1,\"rank\":0}\n"
		   "{\"ts\":1,\"type\":\"warn\",\"node\":1,\"why\":\"x\"}\n";
	converse(w);
	assert_int_equal(w->events, 1);
	assert_int_equal(w->refused, 3);
}

static void test_wrong_tokens(void **state)
{
	struct world *w = *state;
	w->say = make_hello(w, 1, "another secret");
	expect_refused(w, "wrong token");
	json_object_set_new(w->say, "node", json_integer(0));
	expect_refused(w, "wrong token");
	json_object_set_new(w->say, "node", json_integer(2));
	expect_refused(w, "wrong token");
	json_object_set_new(w->say, "node", json_integer(-1));
	expect_refused(w, "wrong token");
	json_object_del(w->say, "token");
	expect_refused(w, "wrong token");
}

static void test_another_nodes_token(void **state)
{
	struct world *w = *state;
	w->say = make_hello(w, 1, "secret");
	json_object_set_new(w->say, "node", json_integer(0));
	expect_refused(w, "wrong token");
}

static void test_another_run(void **state)
{
	struct world *w = *state;
	w->say = make_hello(w, 1, "secret");
	json_object_set_new(w->say, "run", json_string("other-20260101-000000-0000"));
	expect_refused(w, "another run");
}

// What a hello says goes into other nodes' files and commands.
static void test_hellos_that_are_none(void **state)
{
	struct world *w = *state;
	static const char *const members[] = {"name", "address", "machine", "port", "facts"};
	for (size_t i = 0; i < countof(members); i++) {
		json_decref(w->say);
		w->say = make_hello(w, 1, "secret");
		json_object_del(w->say, members[i]);
		expect_refused(w, "without a name");
		json_object_set_new(w->say, members[i], json_array());
		expect_refused(w, "without a name");
	}
	static const char *const addresses[] = {"", "$(reboot)", "a b", "a\nb", "a;b", "a'b", "a/b"};
	for (size_t i = 0; i < countof(addresses); i++) {
		json_decref(w->say);
		w->say = make_hello(w, 1, "secret");
		json_object_set_new(w->say, "address", json_string(addresses[i]));
		expect_refused(w, "without a name");
		json_object_set_new(w->say, "address", json_string("fd00::1%eth0"));
		json_object_set_new(w->say, "addresses", mem_json("[s, s]", "10.0.0.1", addresses[i]));
		expect_refused(w, "without a name");
	}
	json_t *many = json_array();
	for (int i = 0; i < 9; i++)
		json_array_append_new(many, json_string("10.0.0.1"));
	json_object_set_new(w->say, "addresses", many);
	expect_refused(w, "without a name");
	json_object_set_new(w->say, "addresses", json_string("10.0.0.1"));
	expect_refused(w, "without a name");
}

static void test_not_a_hello(void **state)
{
	struct world *w = *state;
	w->say = mem_json("{s:s, s:s}", "msg", "fence", "name", "x");
	expect_refused(w, "the first message is not hello");
	json_object_clear(w->say);
	expect_refused(w, "the first message is not hello");
	json_object_set_new(w->say, "msg", json_string("client"));
	expect_refused(w, "wrong token");
	assert_int_equal(w->fences, 0);
}

// A message that is not an object; one without an end of brackets.
static void test_rubbish(void **state)
{
	struct world *w = *state;
	w->say = json_array();
	converse(w);
	assert_true(w->closed);
	json_t *deep = w->say;
	for (int i = 0; i < 1500; i++) {
		json_t *inner = json_array();
		json_array_append_new(deep, inner);
		deep = inner;
	}
	converse(w);
	assert_true(w->closed);
	assert_int_equal(w->hellos, 0);
}

static void test_bytes_before_hello(void **state)
{
	struct world *w = *state;
	w->bytes = "x";
	converse(w);
	assert_true(w->closed);
	assert_non_null(strstr(w->why, "bytes before hello"));
}

// Says hello as node 1 and sends an event, which is due an acknowledgement then.
static void send_event(struct world *w)
{
	w->say = make_hello(w, 1, "secret");
	w->bytes = "{\"ts\":1,\"type\":\"warn\",\"node\":1,\"why\":\"x\"}\n";
	converse(w);
	assert_int_equal(w->events, 1);
	assert_int_equal(server_count_connected(w->server), 1);
}

static void run_on(struct world *w)
{
	loop_timer_set(w->limit, 20);
	loop_run(w->loop);
	assert_false(w->late);
}

static void test_acknowledgement(void **state)
{
	struct world *w = *state;
	const json_t *streams = NULL;
	send_event(w);
	size_t len = strlen(w->bytes);
	w->bytes = NULL;
	while ((size_t)json_integer_value(json_object_get(streams, "0")) != len) {
		run_on(w);
		streams = json_object_get(w->heard, "streams");
	}
}

static void test_a_forgotten_node_is_due_nothing(void **state)
{
	struct world *w = *state;
	send_event(w);
	server_forget(w->server, 1);
	assert_int_equal(server_count_connected(w->server), 0);
	while (!w->closed)
		run_on(w);
	w->bytes = NULL;
	converse(w); // the new member is acknowledged
	assert_true(json_is_true(json_object_get(w->heard, "welcome")));
	assert_int_equal(server_count_connected(w->server), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_welcome, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_events_of_a_node, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_tokens, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_nodes_token, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_run, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hellos_that_are_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_a_hello, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rubbish, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bytes_before_hello, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_acknowledgement, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_forgotten_node_is_due_nothing, set_up, tear_down)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
