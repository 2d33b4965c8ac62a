#include "base/mem.h"
#include "base/str.h"
#include "kube/websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// Messages that came, with '|' at the end of each.
struct heard {
	struct websocket *w;
	struct str text;
};

static void on_bytes(const unsigned char *bytes, size_t len, void *data)
{
	struct heard *h = data;
	str_add(&h->text, bytes, len);
}

static void on_end(void *data)
{
	struct heard *h = data;
	str_puts(&h->text, "|");
}

static const struct websocket_ops ops = {on_bytes, on_end};

static int set_up(void **state)
{
	struct heard *h = mem_alloc(sizeof *h);
	h->w = websocket_new(&ops, h);
	*state = h;
	return 0;
}

static int tear_down(void **state)
{
	struct heard *h = *state;
	websocket_free(h->w);
	str_fini(&h->text);
	free(h);
	return 0;
}

#define take(h, literal) websocket_take((h)->w, literal, sizeof(literal) - 1, NULL)

// What is to be sent, unmasked, as one line: "OPCODE TEXT;" for each frame.
static char *sent(struct websocket *w)
{
	struct str text = {0};
	size_t len;
	const unsigned char *at = websocket_next(w, &len);
	for (const unsigned char *end = at + len; at && at < end;) {
		assert_true(at[0] & 0x80 && at[1] & 0x80); // whole and masked
		size_t n = at[1] & 0x7f, head = 2;
		if (n == 126) {
			n = (size_t)at[2] << 8 | at[3];
			head = 4;
		} else if (n == 127) {
			n = (size_t)at[6] << 24 | (size_t)at[7] << 16 | (size_t)at[8] << 8 | at[9];
			head = 10;
		}
		const unsigned char *mask = at + head, *body = mask + 4;
		str_printf(&text, "%d ", at[0] & 15);
		for (size_t i = 0; i < n; i++)
			str_add(&text, &(char){(char)(body[i] ^ mask[i % 4])}, 1);
		str_puts(&text, ";");
		at = body + n;
	}
	websocket_sent(w, len);
	return str_steal(&text);
}

static void is_sent(struct websocket *w, const char *expected)
{
	autofree char *text = sent(w);
	assert_string_equal(text, expected);
	size_t len;
	assert_null(websocket_next(w, &len));
}

static void messages_come_in_any_pieces(void **state)
{
	static const char bytes[] = "\x82\x05hello\x02\x02he\x89\x02hi\x80\x03llo\x82\x00\x82\x7e\x00\x80"
				    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
				    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	for (size_t piece = 1; piece < sizeof bytes; piece++) {
		struct heard h = {0};
		h.w = websocket_new(&ops, &h);
		for (size_t at = 0; at < sizeof bytes - 1; at += piece) {
			size_t left = sizeof bytes - 1 - at;
			assert_int_equal(websocket_take(h.w, bytes + at, left < piece ? left : piece, NULL), 0);
		}
		assert_true(str_starts(h.text.text, "hello|hello||0123"));
		assert_int_equal(h.text.len, 13 + 128 + 1);
		is_sent(h.w, "10 hi;"); // the ping between the fragments
		websocket_free(h.w);
		str_fini(&h.text);
	}
}

static void sends_whole_and_masked(void **state)
{
	struct heard *h = *state;
	static char big[70001];
	memset(big, 'x', sizeof big - 1);
	websocket_send(h->w, "one", 3);
	websocket_send(h->w, big, 300);
	websocket_send(h->w, big, sizeof big - 1);
	websocket_ping(h->w);
	autofree char *text = sent(h->w), *expected = mem_printf("2 one;2 %.300s;2 %s;9 ;", big, big);
	assert_string_equal(text, expected);
	// The same bytes never look the same.
	websocket_send(h->w, "secret", 6);
	websocket_send(h->w, "secret", 6);
	size_t len;
	const char *bytes = websocket_next(h->w, &len);
	assert_int_equal(len, 24);
	assert_int_not_equal(memcmp(bytes, bytes + 12, 12), 0);
	// Sent in pieces.
	for (size_t i = 0; i < 24; i++) {
		assert_non_null(websocket_next(h->w, &len));
		assert_int_equal(len, 24 - i);
		websocket_sent(h->w, 1);
	}
	assert_null(websocket_next(h->w, &len));
}

static void a_close_is_answered_and_the_last(void **state)
{
	struct heard *h = *state;
	assert_int_equal(take(h, "\x82\x01"), 0);
	assert_false(websocket_is_closed(h->w));
	assert_int_equal(take(h, "x\x88\x02\x03\xe8\x82\x01y"), 0);
	assert_true(websocket_is_closed(h->w));
	assert_string_equal(h->text.text, "x|");
	is_sent(h->w, "8 \x03\xe8;");
	assert_int_equal(take(h, "\x82\x01z"), 0);
	assert_string_equal(h->text.text, "x|");
	websocket_send(h->w, "late", 4);
	websocket_ping(h->w);
	websocket_close(h->w);
	is_sent(h->w, "");
}

static void closes(void **state)
{
	struct heard *h = *state;
	websocket_send(h->w, "last", 4);
	websocket_close(h->w);
	websocket_close(h->w);
	websocket_send(h->w, "late", 4);
	is_sent(h->w, "2 last;8 \x03\xe8;");
	assert_int_equal(take(h, "\x82\x01x\x88\x02\x03\xe8"), 0); // what was on its way still comes
	assert_string_equal(h->text.text, "x|");
	assert_true(websocket_is_closed(h->w));
	is_sent(h->w, "");
}

static void what_is_no_websocket_is_an_error(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
#define row(text) {text, sizeof(text) - 1}
		row("HTTP/1.1 400 Bad Request\r\n"),
		row("\x82\x85\0\0\0\0hello"),             // a server does not mask
		row("\xc2\x01x"),                         // an extension that nobody asked for
		row("\x80\x01x"),                         // goes on with nothing
		row("\x02\x01x\x82\x01y"),                // begins before the end
		row("\x09\x01x"),                         // a ping in fragments
		row("\x89\x7e\0\x80"),                    // a long ping
		row("\x83\x01x"),                         // no such opcode
		row("\x82\x7f\xff\0\0\1\0\0\0\0x"),       // longer than a frame can be
		row("\x82\x7f\0\0\0\1\0\0\0\0x"),         // 4 GiB
		row("\x82\x7f\0\0\0\0\x01\x00\x00\x01x"), // a byte too many
	};
	for (size_t i = 0; i < countof(bad); i++) {
		struct heard h = {0};
		struct error err = {0};
		h.w = websocket_new(&ops, &h);
		assert_int_equal(websocket_take(h.w, bad[i].bytes, bad[i].len, &err), -1);
		assert_non_null(strstr(err.text, i < countof(bad) - 2 ? "no WebSocket frames" : "more than 16 MiB"));
		assert_int_equal(websocket_take(h.w, "\x82\x01x", 3, NULL), -1);
		websocket_free(h.w);
		str_fini(&h.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_in_any_pieces),
		cmocka_unit_test_setup_teardown(sends_whole_and_masked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_close_is_answered_and_the_last, set_up, tear_down),
		cmocka_unit_test_setup_teardown(closes, set_up, tear_down),
		cmocka_unit_test(what_is_no_websocket_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
