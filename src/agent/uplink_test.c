#include "agent/uplink.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "wire/conn.h"
#include "wire/event.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TOTAL = 3 * 1000 * 1000, CUTS = 5, FILES = 500, FILE_BYTES = 1000, FILES_A_CUT = 90 };

// A controller that breaks the line again and again.
struct world {
	char dir[32];
	struct loop *loop;
	struct uplink *up;
	struct conn *conn;
	size_t hellos, cuts;
	struct str events, output; // as received
	uint64_t have[2];
	uint32_t files; // that are here to the end
	uint64_t file_have;
	size_t files_left; // that the uplink had not forgotten in the end
	bool gap, lease_over, refuse, done;
	char *why;
	void (*clean)(struct world *w);
};

// --- the controller's side ------------------------------------------------------

static void server_open(struct conn *c, void *data)
{
}

static void welcome(struct world *w, bool first)
{
	autojson json_t *ack = mem_json("{s:s, s:{s:I, s:I}, s:I}", "msg", "ack", "streams", "0",
		(json_int_t)w->have[0], "1", (json_int_t)w->have[1], "files", (json_int_t)(UPLINK_FILES + w->files));
	if (first)
		json_object_set_new(ack, "welcome", json_true());
	conn_send(w->conn, ack);
}

static void server_text(struct conn *c, json_t *msg, void *data)
{
	struct world *w = data;
	assert_string_equal(json_string_value(json_object_get(msg, "msg")), "hello");
	w->hellos++;
	w->conn = c;
	if (w->refuse)
		conn_close(c, "no");
	else
		welcome(w, true);
}

// Files come one after the other; those that the node does not know to be here come again.
static void take_file(struct world *w, uint32_t file, uint64_t offset, const char *bytes, size_t len)
{
	w->gap |= file > w->files || (file == w->files && offset > w->file_have);
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != (char)('a' + file % 26))
			fail_msg("file %u has a byte of another one", file);
	if (file != w->files || offset + len <= w->file_have)
		return;
	w->file_have = offset + len;
	if (w->file_have < FILE_BYTES)
		return;
	w->files++;
	w->file_have = 0;
	if (w->files % FILES_A_CUT == 0) {
		w->cuts++;
		conn_close(steal(w->conn), "the line is cut");
	}
}

static void server_bytes(struct conn *c, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
	struct world *w = data;
	if (c != w->conn)
		return; // what the old line still held is lost, as if it had never arrived
	if (stream >= UPLINK_FILES) {
		take_file(w, stream - UPLINK_FILES, offset, bytes, len);
		if (w->conn)
			welcome(w, false);
		return;
	}
	struct str *to = stream == 0 ? &w->events : &w->output;
	w->gap |= offset > w->have[stream];
	uint64_t known = w->have[stream] - offset;
	if (known < len) {
		str_add(to, (const char *)bytes + known, len - (size_t)known);
		w->have[stream] += len - known;
	}
	if (w->output.len > (w->cuts + 1) * (TOTAL / (CUTS + 1)) && w->cuts < CUTS) {
		w->cuts++;
		w->conn = NULL;
		conn_close(c, "the line is cut");
	} else
		welcome(w, false);
}

static void server_close(struct conn *c, const char *why, void *data)
{
}

static const struct conn_ops server_ops = {server_open, server_text, server_bytes, NULL, server_close};

// --- the node's side --------------------------------------------------------------

static json_t *hello(void *data)
{
	return mem_json("{s:s}", "msg", "hello");
}

static void on_message(json_t *msg, void *data)
{
	struct world *w = data;
	w->files_left = uplink_files(w->up);
	if (uplink_is_drained(w->up) && w->done)
		loop_stop(w->loop);
}

static void on_bytes(uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
}

static void on_room(void *data)
{
}

static void on_unreadable(uint32_t stream, const char *name, const char *why, void *data)
{
}

static void on_lease_over(const char *why, void *data)
{
	struct world *w = data;
	w->lease_over = true;
	w->why = mem_strdup(why);
	loop_stop(w->loop);
}

static const struct uplink_ops ops = {hello, on_message, on_bytes, on_room, on_unreadable, on_lease_over};

static void run(struct world *w, double lease, void (*produce)(struct world *w))
{
	struct error err = {0};
	struct crypto_identity id;
	int port = 0;
	strcpy(w->dir, "uplink-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->loop = loop_new(256, &err);
	assert_int_equal(crypto_identity_make(&id, &err), 0);
	struct listener *l = conn_listen(w->loop, "127.0.0.1", &port, &id, 5, &server_ops, NULL, w, &err);
	assert_non_null(l);
	autofree char *url = mem_printf("wss://127.0.0.1:%d", port);
	struct uplink_options options = {.url = url,
		.fingerprint = id.fingerprint,
		.dir = w->dir,
		.lease = lease,
		.heartbeat = 5,
		.ops = &ops,
		.data = w};
	w->up = uplink_new(w->loop, &options, &err);
	assert_non_null(w->up);
	produce(w);
	loop_run(w->loop);
	uplink_stop(w->up);
	loop_free(w->loop);
	uplink_free(w->up);
	conn_listener_free(l);
	crypto_identity_fini(&id);
	if (w->clean)
		w->clean(w);
	assert_int_equal(rmdir(w->dir), 0);
}

static char byte_at(size_t i)
{
	return (char)(i * 31 + i / 1009);
}

static void produce_output(struct world *w)
{
	assert_int_equal(uplink_open(w->up, UPLINK_RANKS, NULL), 0);
	char piece[1000];
	for (size_t at = 0; at < TOTAL; at += sizeof piece) {
		for (size_t i = 0; i < sizeof piece; i++)
			piece[i] = byte_at(at + i);
		assert_true(uplink_add(w->up, UPLINK_RANKS, piece, sizeof piece));
		if (at % 100000 == 0)
			uplink_event(w->up, event_make("warn", "s:i, s:s", "at", (int)at, "why", "a piece"));
	}
	w->done = true;
}

static void test_no_byte_is_lost_or_doubled(void **state)
{
	struct world w = {0};
	run(&w, 30, produce_output);
	assert_int_equal(w.cuts, CUTS);
	assert_int_equal(w.hellos, CUTS + 1);
	assert_false(w.gap);
	assert_int_equal(w.output.len, TOTAL);
	for (size_t i = 0; i < TOTAL; i++)
		assert_int_equal(w.output.text[i], byte_at(i));
	size_t lines = 0;
	for (char *line = strtok(w.events.text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
		autojson json_t *event = event_parse(line, strlen(line), NULL);
		assert_int_equal(json_integer_value(json_object_get(event, "at")), lines * 100000);
	}
	assert_int_equal(lines, TOTAL / 100000);
	str_fini(&w.events);
	str_fini(&w.output);
}

static void produce_files(struct world *w)
{
	char bytes[FILE_BYTES];
	int dir = open(w->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (uint32_t i = 0; i < FILES; i++) {
		char name[16], path[64];
		snprintf(name, sizeof name, "f%u", i);
		snprintf(path, sizeof path, "%s/%s", w->dir, name);
		memset(bytes, 'a' + (int)(i % 26), sizeof bytes);
		assert_int_equal(fs_write(path, bytes, sizeof bytes, 0600, NULL), 0);
		struct uplink_file file = {.dirfd = dir, .path = name, .name = name, .size = sizeof bytes};
		uplink_file(w->up, UPLINK_FILES + i, &file);
	}
	assert_int_equal(uplink_files(w->up), FILES);
	w->done = true;
}

static void remove_files(struct world *w)
{
	for (uint32_t i = 0; i < FILES; i++) {
		char path[64];
		snprintf(path, sizeof path, "%s/f%u", w->dir, i);
		unlink(path);
	}
}

static void test_files_are_sent_and_forgotten(void **state)
{
	struct world w = {.clean = remove_files};
	run(&w, 30, produce_files);
	assert_false(w.gap);
	assert_int_equal(w.files, FILES);
	assert_int_equal(w.files_left, 0);
	assert_int_equal(w.cuts, FILES / FILES_A_CUT);
}

static void produce_nothing(struct world *w)
{
}

static void test_lease_ends_without_a_welcome(void **state)
{
	struct world w = {.refuse = true};
	run(&w, 0.3, produce_nothing);
	assert_true(w.lease_over);
	assert_true(w.hellos > 1);
	assert_non_null(w.why);
	free(w.why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_byte_is_lost_or_doubled),
		cmocka_unit_test(test_files_are_sent_and_forgotten),
		cmocka_unit_test(test_lease_ends_without_a_welcome)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
