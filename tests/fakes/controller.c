#include "fakes/controller.h"

#include "base/crypto.h"
#include "base/mem.h"
#include "controller/worker_thread.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_controller fake;

static struct {
	worker_thread_work *work;
	worker_thread_done *on_done;
	void *data;
} given; // to the worker thread

void fake_reset(void)
{
	json_decref(fake.sent);
	fake = (struct fake_controller){.sent = json_array()};
}

// --- the loop -----------------------------------------------------------------------

void loop_stop(struct loop *loop)
{
	fake.stopped = true;
}

// --- the worker thread ----------------------------------------------------------------

void worker_thread_start(
	struct worker_thread *worker, worker_thread_work *work, worker_thread_done *on_done, void *data)
{
	assert(!fake.working);
	fake.working = true;
	given.work = work;
	given.on_done = on_done;
	given.data = data;
}

bool worker_thread_is_busy(const struct worker_thread *worker)
{
	return fake.working;
}

void worker_thread_then(struct worker_thread *worker, worker_thread_done *on_done)
{
	assert(fake.working);
	given.on_done = on_done;
}

void fake_work(const char *why)
{
	struct error err = {0};
	assert(fake.working);
	int result = given.work(given.data, &err);
	if (why)
		result = error_set(&err, ERROR_SYSTEM, "%s", why);
	fake.working = false;
	given.on_done(result, &err, given.data);
}

// --- messages -------------------------------------------------------------------------

static void sent(json_t *to, const json_t *msg)
{
	json_array_append_new(fake.sent, mem_json("{s:o, s:o}", "to", to, "msg", json_deep_copy(msg)));
}

static json_t *client_name(const struct conn *conn)
{
	char name[32];
	snprintf(name, sizeof name, "client %zu", (size_t)(uintptr_t)conn);
	return json_string(name);
}

struct conn *fake_client(size_t k)
{
	return (struct conn *)(uintptr_t)k;
}

static const json_t *last_to(json_t *to)
{
	autojson json_t *mine = to;
	for (size_t i = json_array_size(fake.sent); i > 0; i--) {
		const json_t *one = json_array_get(fake.sent, i - 1);
		if (json_equal(json_object_get(one, "to"), mine))
			return json_object_get(one, "msg");
	}
	return NULL;
}

const json_t *fake_last_to_node(size_t node)
{
	return last_to(json_integer((json_int_t)node));
}

const json_t *fake_last_to_client(size_t k)
{
	return last_to(client_name(fake_client(k)));
}

size_t fake_count_sent(size_t node, const char *kind)
{
	size_t count = 0, i;
	const json_t *one;
	json_array_foreach (fake.sent, i, one) {
		const json_t *to = json_object_get(one, "to"), *msg = json_object_get(one, "msg");
		bool mine = json_is_string(to) ? strcmp(json_string_value(to), "all") == 0
					       : (size_t)json_integer_value(to) == node;
		count += mine && strcmp(json_string_value(json_object_get(msg, "msg")), kind) == 0;
	}
	return count;
}

// --- connections ----------------------------------------------------------------------

struct conn_message {
	json_t *msg;
};

struct conn_message *conn_message_new(const json_t *msg)
{
	struct conn_message *m = mem_alloc(sizeof *m);
	m->msg = json_deep_copy(msg);
	return m;
}

void conn_message_free(struct conn_message *message)
{
	if (!message)
		return;
	json_decref(message->msg);
	free(message);
}

void conn_send(struct conn *conn, const json_t *msg)
{
	sent(client_name(conn), msg);
}

// --- the server -----------------------------------------------------------------------

static struct server {
	struct crypto_identity identity;
	int port;
	char secret[64];
} server;

struct server *server_new(struct loop *loop, const struct server_options *options, struct error *err)
{
	struct crypto_identity *id = options->identity;
	server.port = options->port;
	server.identity = (struct crypto_identity){
		.cert = mem_strdup(id ? id->cert : "certificate"), .key = mem_strdup(id ? id->key : "key")};
	if (id)
		crypto_identity_fini(id);
	return &server;
}

void server_stop(struct server *s)
{
}

void server_free(struct server *s)
{
	if (s)
		crypto_identity_fini(&s->identity);
}

const struct crypto_identity *server_identity(const struct server *s)
{
	return &s->identity;
}

int server_port(const struct server *s)
{
	return s->port;
}

void server_send(struct server *s, size_t node, const json_t *msg)
{
	sent(json_integer((json_int_t)node), msg);
}

void server_send_message(struct server *s, size_t node, struct conn_message *message)
{
	sent(json_integer((json_int_t)node), message->msg);
}

void server_send_all(struct server *s, const json_t *msg)
{
	sent(json_string("all"), msg);
}

bool server_connected(const struct server *s, size_t node)
{
	return node < FAKE_NODES_MAX && fake.connected[node];
}

size_t server_count_connected(const struct server *s)
{
	size_t count = 0;
	for (size_t i = 0; i < FAKE_NODES_MAX; i++)
		count += fake.connected[i];
	return count;
}

void server_resize(struct server *s, size_t count)
{
	fake.resized = count;
}

void server_forget(struct server *s, size_t node)
{
	fake.connected[node] = false;
}

uint32_t server_errand(struct server *s, size_t node, const json_t *argv)
{
	if (!fake.connected[node])
		return 0;
	autojson json_t *msg = mem_json("{s:s, s:O}", "msg", "errand", "argv", argv);
	sent(json_integer((json_int_t)node), msg);
	return (uint32_t)++fake.errands;
}
