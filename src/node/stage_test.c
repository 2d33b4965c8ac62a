#include "base/crypto.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/stage.h"
#include "wire/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HELLO "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

struct rank_container {
	char root[32];
	char *from, *data; // directories: where inputs are, where they go (not there yet)
};

static char *path(const char *dir, const char *name)
{
	return fs_join(dir, name);
}

static void put(const char *dir, const char *name, const char *text)
{
	autofree char *file = path(dir, name);
	assert_int_equal(fs_write(file, text, strlen(text), 0640, NULL), 0);
}

static void setup(struct rank_container *box)
{
	strcpy(box->root, "/tmp/stage-test-XXXXXX");
	assert_non_null(mkdtemp(box->root));
	box->from = path(box->root, "from");
	box->data = path(box->root, "node/data");
	assert_int_equal(mkdir(box->from, 0755), 0);
	put(box->from, "hello", "hello");
	put(box->root, "outside", "safe");
}

static void teardown(struct rank_container *box)
{
	autofree char *outside = path(box->root, "outside");
	autofree char *safe = fs_read(outside, 10, NULL, NULL);
	assert_string_equal(safe, "safe");
	assert_int_equal(fs_remove(box->root, NULL), 0);
	free(box->from);
	free(box->data);
}

static json_t *input(const struct rank_container *box, const char *from, const char *to, const char *sha256, int unpack)
{
	autofree char *whole = path(box->from, from);
	return mem_json("{s:s, s:s, s:s, s:s?, s:b, s:s, s:b}", "name", from, "from", whole, "kind",
		strstr(from, "://") ? "http" : "path", "sha256", sha256, "unpack", unpack, "path", to, "once", 0);
}

// Stages the list (taken); the events, one for each input tried.
static json_t *stage(const struct rank_container *box, json_t *inputs, int rc)
{
	autojson json_t *list = inputs;
	autofile FILE *out = tmpfile();
	assert_int_equal(stage_run(list, box->data, -1, fileno(out)), rc);
	rewind(out);
	json_t *events = json_array();
	char line[4096];
	while (fgets(line, sizeof line, out)) {
		json_t *event = event_parse(line, strlen(line), NULL);
		assert_non_null(event);
		assert_true(event_is(event, "input"));
		json_array_append_new(events, event);
	}
	return events;
}

static void expect_file(const struct rank_container *box, const char *name, const char *want)
{
	autofree char *file = path(box->data, name);
	autofree char *text = fs_read(file, 100, NULL, NULL);
	assert_non_null(text);
	assert_string_equal(text, want);
}

static void expect_none(const struct rank_container *box, const char *name)
{
	autofree char *file = path(box->data, name);
	assert_false(fs_exists(file));
}

static void expect_event(const json_t *event, int bytes, const char *sha256)
{
	const char *why = json_string_value(json_object_get(event, "why"));
	if (why)
		fail_msg("%s", why);
	assert_true(json_is_true(json_object_get(event, "ok")));
	assert_int_equal(json_integer_value(json_object_get(event, "bytes")), bytes);
	const char *sum = json_string_value(json_object_get(event, "sha256"));
	if (sha256)
		assert_string_equal(sum, sha256);
	else
		assert_null(sum);
}

static void make_tar(const struct rank_container *box, const char *name, const char *what)
{
	autofree char *command =
		mem_printf("cd %s && tar -c%sf %s %s", box->from, str_ends(name, "gz") ? "z" : "", name, what);
	assert_int_equal(system(command), 0);
}

static void files_and_directories_are_copied(void **state)
{
	struct rank_container box;
	setup(&box);
	autofree char *sub = path(box.from, "tree/sub");
	assert_int_equal(fs_mkdirs(sub, 0755, NULL), 0);
	put(box.from, "tree/a", "aa");
	put(box.from, "tree/sub/b", "bbb");
	autofree char *link = path(box.from, "link");
	assert_int_equal(symlink("hello", link), 0);
	autojson json_t *events = stage(&box,
		mem_json("[o, o, o]", input(&box, "hello", "x/y/hello", HELLO, 0), input(&box, "tree", "tree", NULL, 0),
			input(&box, "link", "real", NULL, 0)),
		0);
	assert_int_equal(json_array_size(events), 3);
	expect_event(json_array_get(events, 0), 5, HELLO);
	expect_event(json_array_get(events, 1), 5, NULL);
	expect_event(json_array_get(events, 2), 5, HELLO);
	expect_file(&box, "x/y/hello", "hello");
	expect_file(&box, "tree/a", "aa");
	expect_file(&box, "tree/sub/b", "bbb");
	autofree char *real = path(box.data, "real");
	struct stat st;
	assert_int_equal(lstat(real, &st), 0);
	assert_true(S_ISREG(st.st_mode)); // what the link led to
	assert_int_equal(st.st_mode & 0777, 0640);
	expect_none(&box, ".muster-input");
	teardown(&box);
}

static void archives_are_unpacked_and_not_left(void **state)
{
	struct rank_container box;
	setup(&box);
	put(box.from, "other", "other");
	make_tar(&box, "one.tar.gz", "hello");
	make_tar(&box, "two.tar", "other");
	autojson json_t *events = stage(&box,
		mem_json("[o, o, o]", input(&box, "one.tar.gz", ".", NULL, 1), input(&box, "two.tar", ".", NULL, 1),
			input(&box, "two.tar", "a/b", NULL, 1)),
		0);
	expect_event(
		json_array_get(events, 2), 5, json_string_value(json_object_get(json_array_get(events, 1), "sha256")));
	expect_file(&box, "hello", "hello");
	expect_file(&box, "other", "other");
	expect_file(&box, "a/b/other", "other");
	expect_none(&box, "two.tar");
	expect_none(&box, ".muster-input");
	teardown(&box);
}

static void refuse(struct rank_container *box, json_t *bad, const char *place, const char *why)
{
	autojson json_t *events = stage(box,
		mem_json(
			"[o, o, o]", input(box, "hello", "first", NULL, 0), bad, input(box, "hello", "third", NULL, 0)),
		-1);
	assert_int_equal(json_array_size(events), 2); // and the third was not tried
	const json_t *event = json_array_get(events, 1);
	assert_true(json_is_false(json_object_get(event, "ok")));
	const char *said = json_string_value(json_object_get(event, "why"));
	if (!said || !strstr(said, why))
		fail_msg("'%s' does not say '%s'", said ? said : "", why);
	expect_file(box, "first", "hello");
	expect_none(box, "third");
	if (place)
		expect_none(box, place);
	expect_none(box, ".muster-input");
}

static void what_fails_is_told_and_stops(void **state)
{
	struct rank_container box;
	setup(&box);
	autofree char *sub = path(box.from, "dir");
	assert_int_equal(mkdir(sub, 0755), 0);
	refuse(&box, input(&box, "none", "second", NULL, 0), "second", "No such file or directory");
	refuse(&box, input(&box, "none.tar", "second", NULL, 1), "second", "No such file or directory");
	autofree char *wrong = mem_printf("its sha256 is %s, expected %064d", HELLO, 0);
	refuse(&box,
		input(&box, "hello", "second", "0000000000000000000000000000000000000000000000000000000000000000", 0),
		"second", wrong);
	refuse(&box, input(&box, "dir", "second", HELLO, 0), "second", "only a file has a sha256");
	refuse(&box, input(&box, "hello", "../outside", NULL, 0), NULL, "points outside");
	refuse(&box, input(&box, "hello", "first/below-a-file", NULL, 0), NULL, "first");
	refuse(&box, input(&box, "hello", "second", NULL, 1), "second/hello", "cannot unpack");
	make_tar(&box, "bad.tar", "-P ../outside");
	refuse(&box, input(&box, "bad.tar", "sec", NULL, 1), NULL, "entry '../outside'");
	autojson json_t *web = input(&box, "hello", "web", NULL, 0);
	json_object_set_new(web, "kind", json_string("http"));
	json_object_set_new(web, "from", json_string("http://127.0.0.1:1/none"));
	refuse(&box, json_incref(web), "web", "http://127.0.0.1:1/none");
	teardown(&box);
}

static void a_link_of_an_archive_is_no_way_out(void **state)
{
	struct rank_container box;
	setup(&box);
	autofree char *link = path(box.from, "way");
	autofree char *sub = path(box.from, "sub");
	assert_int_equal(mkdir(sub, 0755), 0);
	assert_int_equal(symlink("sub", link), 0);
	make_tar(&box, "links.tar", "way sub");
	autojson json_t *events = stage(&box,
		mem_json("[o, o]", input(&box, "links.tar", ".", NULL, 1), input(&box, "hello", "way/hello", NULL, 0)),
		-1);
	expect_none(&box, "sub/hello");
	teardown(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_and_directories_are_copied),
		cmocka_unit_test(archives_are_unpacked_and_not_left),
		cmocka_unit_test(what_fails_is_told_and_stops),
		cmocka_unit_test(a_link_of_an_archive_is_no_way_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
