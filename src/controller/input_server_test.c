#include "base/fs.h"
#include "base/mem.h"
#include "controller/input_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	char root[32];
	char *file;
	struct loop *loop;
	struct loop_timer *limit;
	struct input_server *input_server;
	json_t *plan;
	json_t *said[2]; // the last message to each node
	size_t bad;
};

static void on_send(size_t node, json_t *msg, void *data)
{
	struct world *w = data;
	json_decref(w->said[node]);
	w->said[node] = msg;
	loop_stop(w->loop);
}

static void on_wake(size_t node, void *data)
{
}

static void on_bad(size_t node, const char *why, void *data)
{
	struct world *w = data;
	w->bad++;
	loop_stop(w->loop);
}

static void on_fetched(json_t *event, void *data)
{
	json_decref(event);
}

static const struct input_server_ops ops = {on_send, on_wake, on_bad, on_fetched};

static void on_limit(void *data)
{
	fail_msg("nothing was answered within 20 s");
}

static void setup(struct world *w)
{
	*w = (struct world){.root = "/tmp/input-server-test-XXXXXX"};
	assert_non_null(mkdtemp(w->root));
	w->file = fs_join(w->root, "file");
	assert_int_equal(fs_write(w->file, "0123456789", 10, 0600, NULL), 0);
	autofree char *none = fs_join(w->root, "none");
	w->plan = mem_json("{s:[{},{}], s:[{s:s,s:s,s:s},{s:s,s:s,s:s},{s:s,s:s,s:s}]}", "nodes", "inputs", "kind",
		"http", "from", "http://x/y", "name", "y", "kind", "path", "from", w->file, "name", "file", "kind",
		"path", "from", none, "name", "none");
	w->loop = loop_new(0, NULL);
	w->limit = loop_timer_new(w->loop, on_limit, w);
	loop_timer_set(w->limit, 20);
	w->input_server = input_server_new(w->loop, w->plan, w->root, NULL, &ops, w, NULL);
	assert_non_null(w->input_server);
}

static void teardown(struct world *w)
{
	input_server_stop(w->input_server);
	loop_timer_free(w->limit);
	loop_free(w->loop);
	input_server_free(w->input_server);
	json_decref(w->plan);
	json_decref(w->said[0]);
	json_decref(w->said[1]);
	assert_int_equal(fs_remove(w->root, NULL), 0);
	free(w->file);
}

static void ask(struct world *w, size_t node, int input, int from, int until)
{
	autojson json_t *msg = mem_json("{s:i, s:i, s:i}", "input", input, "from", from, "until", until);
	input_server_ask(w->input_server, node, msg);
}

static void more(struct world *w, size_t node, int input, int until)
{
	autojson json_t *msg = mem_json("{s:i, s:i}", "input", input, "until", until);
	input_server_ask(w->input_server, node, msg);
}

// What comes next, as a text: "4:4567" is four bytes from there on.
static const char *filled(struct world *w, size_t node)
{
	static char text[128];
	char bytes[64];
	uint32_t stream;
	uint64_t offset;
	size_t n = input_server_fill(w->input_server, node, &stream, &offset, bytes, sizeof bytes);
	if (n == 0)
		return "";
	assert_int_equal(stream, INPUT_SERVER_STREAMS + 1);
	snprintf(text, sizeof text, "%d:%.*s", (int)offset, (int)n, bytes);
	return text;
}

static const char *why(const struct world *w, size_t node)
{
	return json_string_value(json_object_get(w->said[node], "why"));
}

static void bytes_come_as_far_as_there_is_room(void **state)
{
	struct world w;
	setup(&w);
	assert_string_equal(filled(&w, 0), "");
	ask(&w, 0, 1, 0, 4);
	loop_run(w.loop);
	assert_int_equal(json_integer_value(json_object_get(w.said[0], "size")), 10);
	assert_int_equal(json_integer_value(json_object_get(w.said[0], "mode")), 0600);
	assert_string_equal(filled(&w, 0), "0:0123");
	assert_string_equal(filled(&w, 0), "");
	more(&w, 0, 2, 9); // of another input: passed over
	assert_string_equal(filled(&w, 0), "");
	more(&w, 0, 1, 6);
	assert_string_equal(filled(&w, 0), "4:45");
	ask(&w, 1, 1, 8, 100); // the other node is at its own place
	assert_string_equal(filled(&w, 1), "8:89");
	assert_string_equal(filled(&w, 1), "");
	more(&w, 0, 1, 100);
	assert_string_equal(filled(&w, 0), "6:6789");
	teardown(&w);
}

static void after_a_broken_line_it_goes_on_from_where_the_node_is(void **state)
{
	struct world w;
	setup(&w);
	ask(&w, 0, 1, 0, 5);
	input_server_away(w.input_server, 0); // while it is looked at
	ask(&w, 0, 1, 0, 5);
	loop_run(w.loop);
	assert_string_equal(filled(&w, 0), "0:01234");
	input_server_away(w.input_server, 0);
	more(&w, 0, 1, 10);
	assert_string_equal(filled(&w, 0), "");
	ask(&w, 0, 1, 2, 10);
	assert_string_equal(filled(&w, 0), "2:23456789");
	teardown(&w);
}

static void what_cannot_be_sent_is_said(void **state)
{
	struct world w;
	setup(&w);
	ask(&w, 0, 2, 0, 5);
	loop_run(w.loop);
	assert_non_null(strstr(why(&w, 0), "none': No such file"));
	assert_string_equal(filled(&w, 0), "");
	ask(&w, 1, 1, 0, 100);
	loop_run(w.loop);
	assert_null(why(&w, 1));
	assert_int_equal(truncate(w.file, 3), 0);
	assert_string_equal(filled(&w, 1), "");
	assert_non_null(strstr(why(&w, 1), "file' has changed while it was sent"));
	teardown(&w);
}

static void a_node_gets_nothing_but_what_it_may(void **state)
{
	static const char *const bad[] = {"{}", "{\"input\": 3, \"from\": 0}", "{\"input\": -1, \"from\": 0}",
		"{\"input\": \"1\", \"from\": 0}", "{\"input\": 0, \"from\": 0, \"until\": 9}",
		"{\"input\": 4294967297, \"from\": 0}"};
	struct world w;
	setup(&w);
	for (size_t i = 0; i < countof(bad); i++) {
		autojson json_t *msg = json_loads(bad[i], 0, NULL);
		input_server_ask(w.input_server, 0, msg);
		assert_int_equal(w.bad, i + 1);
	}
	ask(&w, 0, 1, 11, 100); // behind the end
	loop_run(w.loop);
	assert_int_equal(w.bad, countof(bad) + 1);
	assert_string_equal(filled(&w, 0), "");
	autojson json_t *odd = json_loads("{\"input\": 1, \"from\": -5, \"until\": \"x\"}", 0, NULL);
	input_server_ask(w.input_server, 0, odd);
	assert_string_equal(filled(&w, 0), "");
	teardown(&w);
}

static void it_can_be_stopped_at_any_time(void **state)
{
	struct world w;
	setup(&w);
	ask(&w, 0, 1, 0, 5);
	input_server_stop(w.input_server);
	ask(&w, 1, 1, 0, 5);
	assert_string_equal(filled(&w, 0), "");
	assert_null(w.said[0]);
	teardown(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_come_as_far_as_there_is_room),
		cmocka_unit_test(after_a_broken_line_it_goes_on_from_where_the_node_is),
		cmocka_unit_test(what_cannot_be_sent_is_said),
		cmocka_unit_test(a_node_gets_nothing_but_what_it_may),
		cmocka_unit_test(it_can_be_stopped_at_any_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
