#include "base/mem.h"
#include "base/str.h"
#include "wire/conn.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TOTAL = 5 * 1000 * 1000 };

struct world {
	struct loop *loop;
	struct conn *client, *server;
	int port, opened, closed, refused;
	size_t got, sent, longest;
	bool wrong;
	char why[200];
	json_t *message;
};

static unsigned char byte_at(uint64_t offset)
{
	return (unsigned char)(offset * 7 + offset / 251);
}

static void ignore_bytes(struct conn *c, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
}

static void server_open(struct conn *c, void *data)
{
	struct world *w = data;
	w->server = c;
	w->opened++;
}

static void server_text(struct conn *c, json_t *msg, void *data)
{
	struct world *w = data;
	w->message = json_incref(msg);
	autojson json_t *answer = mem_json("{s:s}", "msg", "welcome");
	conn_send(c, answer);
}

static void server_bytes(struct conn *c, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
	struct world *w = data;
	const unsigned char *b = bytes;
	w->wrong |= stream != 42 || offset != w->got;
	for (size_t i = 0; i < len; i++)
		w->wrong |= b[i] != byte_at(offset + i);
	w->got += len;
	if (w->got == TOTAL)
		conn_close(c, "that is all");
}

static void server_close(struct conn *c, const char *why, void *data)
{
	((struct world *)data)->server = NULL;
}

static void client_open(struct conn *c, void *data)
{
	struct world *w = data;
	w->opened++;
	autofree char *text = mem_alloc(w->longest + 1);
	memset(text, 'x', w->longest);
	autojson json_t *hello = mem_json("{s:s, s:s}", "msg", "hello", "text", text);
	conn_send(c, hello);
}

static void client_text(struct conn *c, json_t *msg, void *data)
{
	conn_wake(c);
}

static size_t client_fill(struct conn *c, uint32_t *stream, uint64_t *offset, void *buf, size_t size, void *data)
{
	struct world *w = data;
	size_t len = TOTAL - w->sent < size ? TOTAL - w->sent : size;
	for (size_t i = 0; i < len; i++)
		((unsigned char *)buf)[i] = byte_at(w->sent + i);
	*stream = 42;
	*offset = w->sent;
	w->sent += len;
	return len;
}

static void client_close(struct conn *c, const char *why, void *data)
{
	struct world *w = data;
	w->closed++;
	snprintf(w->why, sizeof w->why, "%s", why);
	loop_stop(w->loop);
}

static void on_refused(const char *peer, void *data)
{
	struct world *w = data;
	w->refused++;
	assert_true(str_starts(peer, "127.0.0.1:"));
	loop_stop(w->loop);
}

static const struct conn_ops server_ops = {server_open, server_text, server_bytes, NULL, server_close};
static const struct conn_ops client_ops = {client_open, client_text, ignore_bytes, client_fill, client_close};

static struct listener *start(struct world *w, struct crypto_identity *id)
{
	struct error err = {0};
	w->loop = loop_new(256, &err);
	assert_non_null(w->loop);
	assert_int_equal(crypto_identity_make(id, &err), 0);
	struct listener *l = conn_listen(w->loop, "127.0.0.1", &w->port, id, 5, &server_ops, on_refused, w, &err);
	assert_non_null(l);
	assert_true(w->port > 0);
	return l;
}

static void stop(struct world *w, struct listener *l, struct crypto_identity *id)
{
	loop_free(w->loop);
	conn_listener_free(l);
	crypto_identity_fini(id);
	json_decref(w->message);
}

static void dial(struct world *w, const char *fingerprint)
{
	struct error err = {0};
	autofree char *url = mem_printf("wss://127.0.0.1:%d", w->port);
	w->client = conn_dial(w->loop, url, fingerprint, 5, &client_ops, w, &err);
	assert_non_null(w->client);
	loop_run(w->loop);
}

static void test_exchange(void **state)
{
	struct world w = {.longest = 50000};
	struct crypto_identity id;
	struct listener *l = start(&w, &id);
	dial(&w, id.fingerprint);
	assert_int_equal(w.opened, 2);
	assert_int_equal(json_string_length(json_object_get(w.message, "text")), 50000);
	assert_int_equal(w.got, TOTAL);
	assert_false(w.wrong);
	assert_int_equal(w.closed, 1);
	stop(&w, l, &id);
}

static void test_wrong_certificate(void **state)
{
	struct world w = {0};
	struct crypto_identity id, other;
	struct listener *l = start(&w, &id);
	assert_int_equal(crypto_identity_make(&other, NULL), 0);
	dial(&w, other.fingerprint);
	assert_null(w.message);
	assert_non_null(strstr(w.why, "certificate"));
	crypto_identity_fini(&other);
	stop(&w, l, &id);
}

static void test_long_message_is_refused(void **state)
{
	struct world w = {.longest = 70000};
	struct crypto_identity id;
	struct listener *l = start(&w, &id);
	dial(&w, id.fingerprint);
	assert_null(w.message);
	assert_int_equal(w.closed, 1);
	stop(&w, l, &id);
}

static void test_garbage_is_refused(void **state)
{
	struct world w = {0};
	struct crypto_identity id;
	struct listener *l = start(&w, &id);
	autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)w.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	static const char garbage[] = "GET / HTTP/1.1\r\n\r\n\x01\x02\x03 rubbish rubbish rubbish";
	assert_int_equal(write(fd, garbage, sizeof garbage), sizeof garbage);
	loop_run(w.loop);
	assert_int_equal(w.refused, 1);
	assert_int_equal(w.opened, 0);
	stop(&w, l, &id);
}

static void test_bad_url(void **state)
{
	static const char *const urls[] = {"", "wss://", "wss://:1", "wss://host", "wss://host:0", "wss://host:70000",
		"ws://host:1", "wss://host:1x"};
	struct error err;
	struct loop *loop = loop_new(64, &err);
	for (size_t i = 0; i < countof(urls); i++)
		assert_null(conn_dial(loop, urls[i], "", 5, &client_ops, NULL, &err));
	loop_free(loop);
}

// --- a message of several ---------------------------------------------------------

enum { READERS = 3, SHARED = 200 * 1000 };

struct crowd {
	struct loop *loop;
	struct conn_message *message;
	size_t opened, heard;
};

// The last one has it sent to all, twice; from then on only the connections keep it.
static void crowd_server_open(struct conn *c, void *data)
{
	static struct conn *readers[READERS];
	struct crowd *w = data;
	readers[w->opened++] = c;
	if (w->opened < READERS)
		return;
	for (size_t i = 0; i < 2 * READERS; i++)
		conn_send_message(readers[i % READERS], w->message);
	conn_message_free(w->message);
}

static void crowd_client_open(struct conn *c, void *data)
{
	conn_limit(c, 2 * SHARED);
}

static void crowd_text(struct conn *c, json_t *msg, void *data)
{
	struct crowd *w = data;
	const char *text = json_string_value(json_object_get(msg, "text"));
	assert_int_equal(strlen(text), SHARED);
	for (size_t i = 0; i < SHARED; i++)
		if (text[i] != 'a' + (char)(i % 23))
			fail_msg("byte %zu is wrong", i);
	if (++w->heard == 2 * READERS)
		loop_stop(w->loop);
}

static void crowd_close(struct conn *c, const char *why, void *data)
{
}

static void test_shared_message(void **state)
{
	static const struct conn_ops crowd_server = {crowd_server_open, crowd_text, ignore_bytes, NULL, crowd_close};
	static const struct conn_ops crowd_client = {crowd_client_open, crowd_text, ignore_bytes, NULL, crowd_close};
	struct error err = {0};
	struct crowd w = {.loop = loop_new(256, &err)};
	struct crypto_identity id;
	int port = 0;
	assert_int_equal(crypto_identity_make(&id, &err), 0);
	autofree char *text = mem_alloc(SHARED + 1);
	for (size_t i = 0; i < SHARED; i++)
		text[i] = (char)('a' + i % 23);
	autojson json_t *msg = mem_json("{s:s}", "text", text);
	w.message = conn_message_new(msg);
	struct listener *l = conn_listen(w.loop, "127.0.0.1", &port, &id, 5, &crowd_server, NULL, &w, &err);
	assert_non_null(l);
	autofree char *url = mem_printf("wss://127.0.0.1:%d", port);
	for (size_t i = 0; i < READERS; i++)
		assert_non_null(conn_dial(w.loop, url, id.fingerprint, 5, &crowd_client, &w, &err));
	loop_run(w.loop);
	assert_int_equal(w.heard, 2 * READERS);
	loop_free(w.loop);
	conn_listener_free(l);
	crypto_identity_fini(&id);
}

// --- silence ----------------------------------------------------------------------

enum { IDLE = 5 }; // heartbeats, of a second

static void idle_open(struct conn *c, void *data)
{
	((struct world *)data)->opened++;
}

static void on_idle_over(void *data)
{
	loop_stop(((struct world *)data)->loop);
}

static const struct conn_ops idle_ops = {idle_open, server_text, ignore_bytes, NULL, client_close};

// Neither end has anything to say: both stay. Each must hear of the other by itself, because a ping that comes in is
// told to nobody.
static void test_idle_ends_stay(void **state)
{
	struct world w = {0};
	struct crypto_identity id;
	struct error err = {0};
	w.loop = loop_new(256, &err);
	assert_int_equal(crypto_identity_make(&id, &err), 0);
	struct listener *l = conn_listen(w.loop, "127.0.0.1", &w.port, &id, 1, &idle_ops, on_refused, &w, &err);
	assert_non_null(l);
	autofree char *url = mem_printf("wss://127.0.0.1:%d", w.port);
	assert_non_null(conn_dial(w.loop, url, id.fingerprint, 1, &idle_ops, &w, &err));
	struct loop_timer *over = loop_timer_new(w.loop, on_idle_over, &w);
	loop_timer_set(over, IDLE);
	loop_run(w.loop);
	assert_int_equal(w.opened, 2);
	assert_string_equal(w.why, "");
	assert_int_equal(w.closed, 0);
	loop_timer_free(over);
	stop(&w, l, &id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_exchange), cmocka_unit_test(test_wrong_certificate),
		cmocka_unit_test(test_long_message_is_refused), cmocka_unit_test(test_garbage_is_refused),
		cmocka_unit_test(test_bad_url), cmocka_unit_test(test_shared_message),
		cmocka_unit_test(test_idle_ends_stay)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
