#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/node_streams.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILES = 1 << 20 };

// Node 1 of a run: its ranks are 2 and 3.
struct world {
	char top[32];
	struct run *run;
	struct node_streams *ns;
	uint64_t said; // bytes of events so far
	size_t events, bad, troubles, lost;
	char why[300];
};

static void on_event(json_t *event, const char *line, size_t len, void *data)
{
	((struct world *)data)->events++;
}

static void on_bad(const char *why, void *data)
{
	struct world *w = data;
	w->bad++;
	snprintf(w->why, sizeof w->why, "%s", why);
}

static void on_trouble(const char *why, void *data)
{
	struct world *w = data;
	w->troubles++;
	snprintf(w->why, sizeof w->why, "%s", why);
}

static void on_lost(const char *path, const char *why, void *data)
{
	struct world *w = data;
	w->lost++;
	snprintf(w->why, sizeof w->why, "%s: %s", path, why);
}

static const struct node_streams_ops ops = {on_event, on_bad, on_trouble, on_lost};

static int set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);
	strcpy(w->top, "node-streams-test-XXXXXX");
	assert_non_null(mkdtemp(w->top));
	autojson json_t *plan = json_object();
	w->run = run_create(w->top, "test", NULL, 0, plan, NULL);
	assert_non_null(w->run);
	w->ns = node_streams_new(w->run, 1, 2, 2, &ops, w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	node_streams_free(w->ns);
	run_free(w->run);
	assert_int_equal(fs_remove(w->top, NULL), 0);
	free(w);
	return 0;
}

static void take(struct world *w, uint32_t stream, uint64_t offset, const char *text, size_t fresh)
{
	struct error err = {0};
	size_t got;
	assert_int_equal(node_streams_take(w->ns, stream, offset, text, strlen(text), &got, &err), 0);
	assert_int_equal(got, fresh);
}

static void refuse(struct world *w, uint32_t stream, uint64_t offset, const char *text)
{
	struct error err = {0};
	size_t got;
	assert_int_equal(node_streams_take(w->ns, stream, offset, text, strlen(text), &got, &err), -1);
	assert_true(err.text[0]);
}

// An event: type and further members as JSON.
static void say(struct world *w, const char *type, const char *members)
{
	autofree char *line = mem_printf("{\"ts\":1,\"type\":\"%s\",%s}\n", type, members);
	take(w, 0, w->said, line, strlen(line));
	w->said += strlen(line);
}

static void expect_file(struct world *w, const char *name, const char *text)
{
	autofree char *path = run_path(w->run, name);
	autofree char *found = fs_read(path, 1 << 20, NULL, NULL);
	assert_non_null(found);
	assert_string_equal(found, text);
}

static bool is_there(struct world *w, const char *name)
{
	autofree char *path = run_path(w->run, name);
	return fs_exists(path);
}

static void test_output_is_kept_once(void **state)
{
	struct world *w = *state;
	take(w, 1, 0, "hello ", 6);
	take(w, 1, 0, "hello ", 0);
	take(w, 1, 3, "lo world", 5);
	take(w, 2, 0, "other", 5);
	expect_file(w, "ranks/output-2.txt", "hello world");
	expect_file(w, "ranks/output-3.txt", "other");
	refuse(w, 1, 12, "a gap");
	refuse(w, 1, UINT64_MAX, "far away");
	refuse(w, 3, 0, "no rank of this node");
	refuse(w, FILES, 0, "no such file");
	autojson json_t *acks = node_streams_acks(w->ns, false), *streams = json_object_get(acks, "streams");
	assert_int_equal(json_integer_value(json_object_get(streams, "1")), 11);
	assert_int_equal(json_object_size(streams), 2);
	json_incref(streams);
	autojson json_t *again = node_streams_acks(w->ns, false);
	assert_int_equal(json_object_size(json_object_get(again, "streams")), 0);
}

static void test_events_in_pieces(void **state)
{
	struct world *w = *state;
	static const char line[] = "{\"ts\":1,\"type\":\"warn\",\"node\":1,\"why\":\"x\"}\n";
	for (size_t i = 0; line[i]; i++) {
		char one[2] = {line[i], 0};
		take(w, 0, i, one, 1);
	}
	assert_int_equal(w->events, 1);
	assert_int_equal(w->bad, 0);
}

static void test_others_are_not_spoken_for(void **state)
{
	struct world *w = *state;
	static const char *const bad[][2] = {{"warn", "\"node\":0"}, {"warn", "\"why\":\"no node\""},
		{"warn", "\"node\":1.0"}, {"warn", "\"node\":-1"}, {"exit", "\"node\":1,\"rank\":0"},
		{"exit", "\"node\":1,\"rank\":4"}, {"exit", "\"node\":1,\"rank\":-1"},
		{"metric", "\"node\":1,\"rank\":99999999999999999"}, {"metric", "\"node\":1,\"rank\":\"2\""},
		{"sample", "\"node\":1,\"ranks\":[{\"rank\":2},{\"rank\":1}]"},
		{"end", "\"node\":1,\"outcome\":\"ok\""}, {"receipt", "\"node\":1"}, {"state", "\"node\":1"},
		{"lost", "\"node\":1"}, {"nothing", "\"node\":1"}};
	for (size_t i = 0; i < countof(bad); i++) {
		say(w, bad[i][0], bad[i][1]);
		assert_int_equal(w->bad, i + 1);
	}
	assert_int_equal(w->events, 0);
	say(w, "exit", "\"node\":1,\"rank\":3");
	say(w, "sample", "\"node\":1,\"ranks\":[{\"rank\":2},{\"rank\":3}]");
	assert_int_equal(w->events, 2);
}

// Of all files: those below this stream are here.
static json_int_t files_here(struct world *w)
{
	autojson json_t *acks = node_streams_acks(w->ns, true);
	return json_integer_value(json_object_get(acks, "files"));
}

static void test_files_come_back(void **state)
{
	struct world *w = *state;
	assert_int_equal(files_here(w), FILES);
	say(w, "output", "\"node\":1,\"path\":\"c.txt\",\"bytes\":4,\"stream\":1048576,\"mode\":256,\"ok\":true");
	say(w, "output", "\"node\":1,\"path\":\"a/b.txt\",\"bytes\":6,\"stream\":1048577,\"mode\":420,\"ok\":true");
	say(w, "output", "\"node\":1,\"path\":\"empty\",\"bytes\":0,\"stream\":1048578,\"mode\":420,\"ok\":true");
	say(w, "left", "\"node\":1,\"streams\":{\"1\":2}");
	take(w, 1, 0, "hi", 2);
	assert_false(node_streams_is_complete(w->ns));
	take(w, FILES + 1, 0, "abc", 3); // in turns
	take(w, FILES, 0, "12", 2);
	take(w, FILES + 1, 3, "def", 3);
	assert_int_equal(files_here(w), FILES);
	assert_false(node_streams_is_complete(w->ns));
	take(w, FILES, 2, "34", 2);
	assert_true(node_streams_is_complete(w->ns));
	assert_int_equal(files_here(w), FILES + 3);
	take(w, FILES, 0, "1234", 0); // a node whose line broke sends again what it does not know to be here
	refuse(w, FILES + 3, 0, "nobody announced it");
	expect_file(w, "outputs/node-1/a/b.txt", "abcdef");
	expect_file(w, "outputs/node-1/c.txt", "1234");
	expect_file(w, "outputs/node-1/empty", "");
	assert_int_equal(w->bad + w->troubles + w->lost, 0);
}

static void test_any_name_comes_back(void **state)
{
	struct world *w = *state;
	say(w, "output", "\"node\":1,\"path\":\"caf\\\\xe9\",\"bytes\":1,\"stream\":1048576,\"ok\":true");
	take(w, FILES, 0, "x", 1);
	expect_file(w, "outputs/node-1/caf\xe9", "x");
	static const char *const bad[] = {"..\\\\x2fx", "\\\\x2e./x", "a\\\\", "\\\\x00", "a\\nb"};
	for (size_t i = 0; i < countof(bad); i++) {
		autofree char *members =
			mem_printf("\"node\":1,\"path\":\"%s\",\"bytes\":1,\"stream\":1048577,\"ok\":true", bad[i]);
		say(w, "output", members);
		assert_int_equal(w->bad, i + 1);
	}
}

static void test_links_stay_inside(void **state)
{
	struct world *w = *state;
	static const char *const good[][2] = {{"latest", "ckpt"}, {"a/b/up", "../../x"}, {"odd", "caf\\xe9"}};
	for (size_t i = 0; i < countof(good); i++) {
		autojson json_t *event = mem_json("{s:i, s:s, s:i, s:s, s:s}", "ts", 1, "type", "output", "node", 1,
			"path", good[i][0], "link", good[i][1]);
		autofree char *line = json_dumps(event, JSON_COMPACT), *ended = mem_printf("%s\n", line);
		take(w, 0, w->said, ended, strlen(ended));
		w->said += strlen(ended);
	}
	char target[64];
	autofree char *odd = run_path(w->run, "outputs/node-1/odd");
	assert_int_equal(readlink(odd, target, sizeof target), 4);
	assert_memory_equal(target, "caf\xe9", 4);
	static const char *const bad[][2] = {{"l", "/etc"}, {"l", ".."}, {"a/l", "../.."}, {"l", "x/../.."}, {"l", ""}};
	for (size_t i = 0; i < countof(bad); i++) {
		autofree char *members = mem_printf("\"node\":1,\"path\":\"%s\",\"link\":\"%s\"", bad[i][0], bad[i][1]);
		say(w, "output", members);
		assert_int_equal(w->bad, i + 1);
	}
	say(w, "output", "\"node\":1,\"path\":\"latest/x\",\"bytes\":0,\"stream\":1048576");
	say(w, "output", "\"node\":1,\"path\":\"latest\",\"link\":\"x\"");
	assert_int_equal(w->lost, 2); // nothing is written through a link, and none is replaced
}

static void test_a_name_is_not_used_twice(void **state)
{
	struct world *w = *state;
	say(w, "output", "\"node\":1,\"path\":\"a\",\"bytes\":1,\"stream\":1048576");
	say(w, "output", "\"node\":1,\"path\":\"a\",\"bytes\":1,\"stream\":1048577");
	take(w, FILES, 0, "1", 1);
	take(w, FILES + 1, 0, "2", 1);
	expect_file(w, "outputs/node-1/a", "1");
	assert_int_equal(w->lost, 1);
	assert_string_equal(w->why, "a: cannot open 'a': File exists");
}

static void test_files_stay_inside(void **state)
{
	struct world *w = *state;
	static const char *const bad[] = {"\"path\":\"../x\",\"bytes\":0,\"stream\":1048577",
		"\"path\":\"/tmp/node-streams-x\",\"bytes\":0,\"stream\":1048577",
		"\"path\":\"a/../../x\",\"bytes\":0,\"stream\":1048577", "\"path\":\"\",\"bytes\":0,\"stream\":1048577",
		"\"bytes\":0,\"stream\":1048577", "\"path\":\"x\",\"bytes\":-1,\"stream\":1048577",
		"\"path\":\"x\",\"bytes\":0,\"stream\":0", "\"path\":\"x\",\"bytes\":0,\"stream\":1",
		"\"path\":\"x\",\"bytes\":0,\"stream\":-1", "\"path\":\"x\",\"bytes\":0,\"stream\":4294967297",
		"\"path\":\"x\",\"bytes\":0,\"stream\":2147483648", "\"path\":\"x\",\"bytes\":0",
		"\"ok\":false,\"stream\":1048579"};
	for (size_t i = 0; i < countof(bad); i++) {
		autofree char *members = mem_printf("\"node\":1,%s", bad[i]);
		say(w, "output", members);
		assert_int_equal(w->bad, i + 1);
	}
	assert_false(is_there(w, "outputs/node-1/x"));
	assert_false(is_there(w, "outputs/x"));
	assert_int_equal(w->events, 0);
	// A link that leads out, which a node cannot make, but who knows.
	autofree char *node = run_path(w->run, "outputs/node-1"), *link = run_path(w->run, "outputs/node-1/out");
	assert_int_equal(mkdir(node, 0755), 0);
	assert_int_equal(symlink("..", link), 0);
	say(w, "output", "\"node\":1,\"path\":\"out/x\",\"bytes\":1,\"stream\":1048577,\"ok\":true");
	take(w, FILES + 1, 0, "x", 1);
	assert_false(is_there(w, "outputs/x"));
	assert_int_equal(w->lost, 1);
}

static void test_a_stream_is_announced_once(void **state)
{
	struct world *w = *state;
	say(w, "output", "\"node\":1,\"path\":\"a\",\"bytes\":4,\"stream\":1048577,\"mode\":420");
	say(w, "output", "\"node\":1,\"path\":\"b\",\"bytes\":9,\"stream\":1048577,\"mode\":420");
	assert_int_equal(w->bad, 1);
	take(w, FILES + 1, 0, "ab", 2);
	say(w, "left", "\"node\":1,\"streams\":{}");
	assert_false(node_streams_is_complete(w->ns));
	say(w, "output", "\"node\":1,\"stream\":1048577,\"ok\":false,\"why\":\"it became shorter\"");
	assert_true(node_streams_is_complete(w->ns));
	refuse(w, FILES + 1, 2, "cd");
}

static void test_absurd_farewells(void **state)
{
	struct world *w = *state;
	static const char *const bad[] = {
		"{\"1\":-1}", "{\"99\":1}", "{\"0\":5}", "{\"1048577\":5}", "{\"1\":\"x\"}", "{\"4294967297\":1}"};
	for (size_t i = 0; i < countof(bad); i++) {
		autofree char *members = mem_printf("\"node\":1,\"streams\":%s", bad[i]);
		say(w, "left", members);
		assert_int_equal(w->bad, i + 1);
		assert_false(node_streams_is_complete(w->ns));
	}
	say(w, "left", "\"node\":1,\"streams\":{\"1\":0,\"2\":0}");
	assert_true(node_streams_is_complete(w->ns));
	say(w, "left", "\"node\":1,\"streams\":{\"1\":9223372036854775807}");
	assert_true(node_streams_is_complete(w->ns));
}

// A disk that is full must not keep a node from leaving: it would send the same bytes for ever.
static void test_what_cannot_be_written_is_told_once_and_dropped(void **state)
{
	struct world *w = *state;
	autofree char *node = run_path(w->run, "outputs/node-1");
	assert_int_equal(fs_write(node, "", 0, 0644, NULL), 0); // in the way
	say(w, "output", "\"node\":1,\"path\":\"a\",\"bytes\":4,\"stream\":1048577,\"mode\":420");
	say(w, "left", "\"node\":1,\"streams\":{}");
	take(w, FILES + 1, 0, "ab", 2);
	take(w, FILES + 1, 2, "cd", 2);
	assert_int_equal(w->lost, 1);
	assert_int_equal(w->troubles, 0);
	assert_true(node_streams_is_complete(w->ns));
}

static size_t open_streams(struct world *w)
{
	autojson json_t *acks = node_streams_acks(w->ns, true);
	return json_object_size(json_object_get(acks, "streams"));
}

// A few at a time: no more than those are kept in mind.
static void test_many_files(void **state)
{
	struct world *w = *state;
	for (int i = 0; i < 2000; i++) {
		autofree char *members =
			mem_printf("\"node\":1,\"path\":\"f%d\",\"bytes\":1,\"stream\":%d,\"mode\":420", i, FILES + i);
		say(w, "output", members);
		if (i >= 100)
			take(w, (uint32_t)(FILES + i - 100), 0, "x", 1);
		assert_true(i % 100 != 0 || open_streams(w) <= 102);
	}
	say(w, "left", "\"node\":1,\"streams\":{}");
	assert_int_equal(files_here(w), FILES + 1900);
	for (int i = 1900; i < 2000; i++) {
		assert_false(node_streams_is_complete(w->ns));
		take(w, (uint32_t)(FILES + i), 0, "x", 1);
	}
	assert_true(node_streams_is_complete(w->ns));
	assert_int_equal(w->troubles + w->lost + w->bad, 0);
	expect_file(w, "outputs/node-1/f1999", "x");
}

static void test_too_many_files_at_once(void **state)
{
	struct world *w = *state;
	for (int i = 0; i < 20000; i++) {
		autofree char *members =
			mem_printf("\"node\":1,\"path\":\"f%d\",\"bytes\":1,\"stream\":%d,\"mode\":420", i, FILES + i);
		say(w, "output", members);
	}
	assert_true(w->bad > 3000 && w->bad < 20000);
}

static void test_a_line_without_end(void **state)
{
	struct world *w = *state;
	autofree char *piece = mem_alloc((1 << 20) + 1);
	memset(piece, 'x', 1 << 20);
	struct error err = {0};
	size_t fresh;
	int rc = 0;
	for (uint64_t at = 0; rc == 0 && at < 16; at++)
		rc = node_streams_take(w->ns, 0, at << 20, piece, 1 << 20, &fresh, &err);
	assert_int_equal(rc, -1);
	assert_non_null(strstr(err.text, "too long"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_output_is_kept_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_events_in_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_others_are_not_spoken_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_files_come_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_any_name_comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links_stay_inside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_name_is_not_used_twice, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_files_stay_inside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_stream_is_announced_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_absurd_farewells, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_what_cannot_be_written_is_told_once_and_dropped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_many_files_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_line_without_end, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
