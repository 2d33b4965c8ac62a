#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/collect.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[32];

static void put(const char *name, mode_t mode)
{
	autofree char *path = fs_join(root, name);
	autofree char *dir = mem_strndup(path, (size_t)(strrchr(path, '/') - path));
	assert_int_equal(fs_mkdirs(dir, 0755, NULL), 0);
	assert_int_equal(fs_write(path, name, strlen(name), mode, NULL), 0);
}

static void put_link(const char *name, const char *target)
{
	autofree char *path = fs_join(root, name);
	assert_int_equal(symlink(target, path), 0);
}

static int setup(void **state)
{
	strcpy(root, "/tmp/collect-test-XXXXXX");
	assert_non_null(mkdtemp(root));
	return 0;
}

static int teardown(void **state)
{
	return fs_remove(root, NULL);
}

// Everything that is said, in a line: "path", "path=SIZE:MODE" of what is no 0644, "path<from", "path->target",
// "path!why", "path~why".
struct said {
	struct str text;
	size_t files;
};

static void on_file(const char *path, const char *from, uint64_t size, unsigned mode, void *data)
{
	struct said *s = data;
	s->files++;
	str_printf(&s->text, "%s%s", s->text.len ? " " : "", path);
	if (mode != 0644)
		str_printf(&s->text, "=%d:%o", (int)size, mode);
	if (strcmp(path, from) != 0)
		str_printf(&s->text, "<%s", from);
}

static void on_link(const char *path, const char *target, void *data)
{
	struct said *s = data;
	str_printf(&s->text, "%s%s->%s", s->text.len ? " " : "", path, target);
}

static void on_failed(const char *path, const char *why, void *data)
{
	struct said *s = data;
	str_printf(&s->text, "%s%s!%s", s->text.len ? " " : "", path, why);
}

static void on_skipped(const char *path, const char *why, void *data)
{
	struct said *s = data;
	str_printf(&s->text, "%s%s~%s", s->text.len ? " " : "", path, why);
}

static const struct collect_ops ops = {on_file, on_link, on_failed, on_skipped, NULL};

// Patterns divided by blanks.
static void collect(const char *patterns, struct said *said)
{
	autojson json_t *list = json_array();
	autofree char *copy = mem_strdup(patterns);
	char *rest = copy;
	for (char *one; (one = strsep(&rest, " "));)
		json_array_append_new(list, json_string(one));
	struct glob *globs = glob_new(list, NULL);
	str_puts(&said->text, "");
	collect_walk(root, globs, &ops, said);
	glob_free(globs);
}

static void expect(const char *patterns, const char *want)
{
	struct said said = {0};
	collect(patterns, &said);
	assert_string_equal(said.text.text, want);
	str_fini(&said.text);
}

static void test_files_that_match(void **state)
{
	static const char *const names[] = {"a.png", "b.png", "b.txt", ".hidden.png", "img/1.png", "img/10.png",
		"img/2.png", "img/deep/er/x.png", "log/img/y.png"};
	for (size_t i = 0; i < countof(names); i++)
		put(names[i], 0644);
	put("run.sh", 0755);
	expect("*.png", "a.png b.png");
	expect("[b-z].*", "b.png b.txt");
	expect("img/?.png", "img/1.png img/2.png");
	expect("**/x.png", "img/deep/er/x.png");
	expect("**/img/*.png", "img/1.png img/10.png img/2.png log/img/y.png");
	expect("img/**", "img/1.png img/10.png img/2.png img/deep/er/x.png");
	expect("**/*.png", "a.png b.png img/1.png img/10.png img/2.png img/deep/er/x.png log/img/y.png");
	expect(".hidden*", ".hidden.png");
	expect("none a.png/x ../* /etc/*", "");
	expect("*.sh run* run.sh", "run.sh=6:755");
	expect("*.{txt,sh}", "b.txt run.sh=6:755");
}

static void test_a_directory_means_all_of_it(void **state)
{
	put("ckpt/step1/model.bin", 0644);
	put("ckpt/.state", 0644);
	put("other", 0644);
	expect("ckpt", "ckpt/.state ckpt/step1/model.bin");
	expect("ckpt/", "ckpt/.state ckpt/step1/model.bin");
	expect("*/step?", "ckpt/step1/model.bin");
	expect(".", "ckpt/.state ckpt/step1/model.bin other");
}

static void test_links(void **state)
{
	put("ckpt/epoch=3", 0644);
	put("ckpt/sub/x", 0644);
	put("z", 0644);
	put_link("ckpt/last", "epoch=3");
	put_link("ckpt/up", "../z");
	put_link("latest", "ckpt");
	autofree char *absolute = fs_join(root, "ckpt/sub/x");
	put_link("abs", absolute);
	put_link("later", "is/not/there");
	expect("**", "abs->ckpt/sub/x ckpt/epoch=3 ckpt/last->epoch=3 ckpt/sub/x ckpt/up->../z later->is/not/there "
		     "latest->ckpt z");
	// What they lead to does not come by itself.
	expect("ckpt/last", "ckpt/last<ckpt/epoch=3");
	expect("abs", "abs<ckpt/sub/x");
	expect("latest", "latest/epoch=3<ckpt/epoch=3 latest/last<ckpt/epoch=3 latest/sub/x<ckpt/sub/x latest/up<z");
	expect("latest/e*", "latest/epoch=3<ckpt/epoch=3");
	expect("**/e*", "ckpt/epoch=3");
	expect("*/e*", "ckpt/epoch=3 latest/epoch=3->../ckpt/epoch=3");
}

static void test_links_that_lead_nowhere_good(void **state)
{
	put("d/x", 0644);
	put_link("out", "/etc/passwd");
	put_link("elsewhere", "/etc");
	put_link("gone", "/nonexistent");
	put_link("round", "round");
	put_link("d/up", "..");
	put_link("d/me", ".");
	expect("out", "out~it is a symbolic link that leads out of the output directory");
	expect("elsewhere/*", "elsewhere~it is a symbolic link that leads out of the output directory");
	expect("gone", "gone~it is a symbolic link to '/nonexistent', which is not there");
	expect("round", "round->round");
	expect("d/me", "d/me~it is a symbolic link to a directory that it is in");
	expect("d/up", "d/up~it is a symbolic link to a directory that it is in");
	expect("d", "d/me->. d/up~it is a symbolic link to a directory that it is in d/x");
}

static void test_what_is_no_file(void **state)
{
	autofree char *pipe = fs_join(root, "pipe.png");
	assert_int_equal(mkfifo(pipe, 0644), 0);
	expect("*.png", "pipe.png~it is neither a file, a directory nor a symbolic link");
	expect("none", "");
}

static void test_any_name(void **state)
{
	put("caf\xe9.txt", 0644);
	put("a\nb\\c\t", 0644);
	expect("**", "a\nb\\c\t caf\xe9.txt");
	expect("caf?.txt", "caf\xe9.txt");
}

// 200 levels of long names: the path is longer than the kernel takes at once.
static void test_deep_trees(void **state)
{
	char name[101] = "";
	memset(name, 'n', 100);
	autostr struct str want = {0};
	autoclose int at = open(root, O_PATH | O_DIRECTORY);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(mkdirat(at, name, 0755), 0);
		int below = openat(at, name, O_PATH | O_DIRECTORY);
		close(at);
		at = below;
		str_printf(&want, "%s/", name);
	}
	autoclose int fd = openat(at, "x", O_WRONLY | O_CREAT, 0644);
	str_puts(&want, "x");
	expect("**/x", want.text);
	expect("n*", want.text);
	autoclose int top = open(root, O_PATH | O_DIRECTORY), again = fs_open_at(top, want.text, O_RDONLY);
	assert_true(again >= 0);
}

static void test_what_cannot_be_read_is_told(void **state)
{
	struct said said = {0};
	autojson json_t *list = mem_json("[s]", "**");
	struct glob *globs = glob_new(list, NULL);
	collect_walk("/nonexistent", globs, &ops, &said);
	assert_string_equal(said.text.text, ".!No such file or directory");
	str_fini(&said.text);
	glob_free(globs);
	put("closed/x", 0644);
	autofree char *closed = fs_join(root, "closed");
	assert_int_equal(chmod(closed, 0), 0);
	bool was_root = geteuid() == 0; // who may read everything
	assert_int_equal(chmod(root, 0755), 0);
	assert_true(!was_root || seteuid(65534) == 0);
	expect("closed/*", "closed!Permission denied");
	expect("closed", "closed!Permission denied");
	assert_true(!was_root || seteuid(0) == 0);
}

static void test_many_files_of_one_directory(void **state)
{
	autoclose int dir = open(root, O_PATH | O_DIRECTORY);
	for (int i = 0; i < 10000; i++) {
		char name[16];
		snprintf(name, sizeof name, "f%d", i);
		close(openat(dir, name, O_WRONLY | O_CREAT, 0644));
	}
	struct said said = {0};
	collect("f*", &said);
	assert_int_equal(said.files, 10000);
	str_fini(&said.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_files_that_match, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_directory_means_all_of_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_that_lead_nowhere_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deep_trees, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_files_of_one_directory, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
