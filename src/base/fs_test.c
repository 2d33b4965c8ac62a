#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[32];

static int set_up(void **state)
{
	strcpy(top, "fs-test-XXXXXX");
	return mkdtemp(top) ? 0 : -1;
}

static int tear_down(void **state)
{
	return fs_remove(top, NULL);
}

static void test_inside(void **state)
{
	static const char *const good[] = {"a", "a/b", "./a", "a//b", "..a", "a..", "a/..b", "..."};
	static const char *const bad[] = {"", "/", "/a", "..", "../a", "a/..", "a/../b", "a//../b"};
	for (size_t i = 0; i < countof(good); i++)
		assert_true(fs_is_inside(good[i]));
	for (size_t i = 0; i < countof(bad); i++)
		assert_false(fs_is_inside(bad[i]));
}

static void test_beneath(void **state)
{
	autofree char *link = fs_join(top, "out"), *dir = fs_join(top, "in");
	assert_int_equal(symlink("/", link), 0);
	assert_int_equal(mkdir(dir, 0755), 0);
	autoclose int at = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fs_open_beneath(at, "out/etc/passwd", O_RDONLY, 0, NULL), -1);
	assert_int_equal(fs_open_beneath(at, "in/../x", O_WRONLY | O_CREAT, 0600, NULL), -1);
	assert_int_equal(fs_mkdirs_beneath(at, "out/tmp/x", NULL), -1);
	assert_int_equal(fs_mkdirs_beneath(at, "in/a/b/file", NULL), 0);
	autoclose int fd = fs_open_beneath(at, "in/a/b/file", O_WRONLY | O_CREAT, 0600, NULL);
	assert_true(fd >= 0);
}

static void test_links_that_stay_inside(void **state)
{
	static const char *const good[][2] = {
		{"a", "b"}, {"a", "b/c"}, {"a", "."}, {"d/a", ".."}, {"d/e/a", "../../b"}, {"d//a", ".././b"}};
	static const char *const bad[][2] = {{"a", ""}, {"a", "/b"}, {"a", ".."}, {"d/a", "../.."}, {"d/a", "../../b"},
		{"a", "b/.."}, {"d/a", "../b/.."}, {"./a", "../b"}, {"././././a", "../../../../etc/passwd"},
		{"d/./a", "../../b"}};
	for (size_t i = 0; i < countof(good); i++)
		assert_true(fs_link_is_inside(good[i][0], good[i][1]));
	for (size_t i = 0; i < countof(bad); i++)
		assert_false(fs_link_is_inside(bad[i][0], bad[i][1]));
}

// Longer than any system call takes.
static void test_long_paths(void **state)
{
	autostr struct str path = {0};
	for (int i = 0; i < 60; i++)
		str_printf(&path, "%0200d/", i);
	str_puts(&path, "file");
	autoclose int at = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fs_mkdirs_beneath(at, path.text, NULL), 0);
	autoclose int fd = fs_open_beneath(at, path.text, O_WRONLY | O_CREAT | O_EXCL, 0600, NULL);
	assert_true(fd >= 0);
	autoclose int again = fs_open_at(at, path.text, O_RDONLY);
	assert_true(again >= 0);
	path.text[5] = 'x';
	assert_int_equal(fs_open_at(at, path.text, O_RDONLY), -1);
	struct error err;
	assert_int_equal(fs_open_beneath(at, path.text, O_RDONLY, 0, &err), -1);
	assert_non_null(strstr(err.text, "No such file"));
}

// A tree deeper than there are descriptors, part of it unwritable.
static void test_remove_what_is_deep(void **state)
{
	struct rlimit old, few = {256, 256};
	getrlimit(RLIMIT_NOFILE, &old);
	few.rlim_max = old.rlim_max;
	autofree char *dir = fs_join(top, "deep");
	assert_int_equal(mkdir(dir, 0755), 0);
	int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(mkdirat(at, "a", 0700), 0);
		assert_int_equal(mkdirat(at, "b", 0700), 0);
		int next = openat(at, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(openat(next, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		if (i == 150)
			fchmod(at, 0500);
		close(at);
		at = next;
	}
	close(at);
	setrlimit(RLIMIT_NOFILE, &few);
	struct error err = {0};
	int rc = fs_remove(dir, &err);
	setrlimit(RLIMIT_NOFILE, &old);
	if (rc < 0)
		fail_msg("%s", err.text);
	assert_false(fs_exists(dir));
}

static void test_remove_follows_no_link(void **state)
{
	autofree char *kept = fs_join(top, "kept"), *gone = fs_join(top, "gone"), *link = fs_join(top, "gone/link");
	assert_int_equal(mkdir(kept, 0755), 0);
	assert_int_equal(mkdir(gone, 0755), 0);
	assert_int_equal(symlink("../kept", link), 0);
	assert_int_equal(fs_remove(gone, NULL), 0);
	assert_true(fs_exists(kept));
	assert_false(fs_exists(gone));
	assert_int_equal(fs_remove(gone, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_inside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_beneath, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links_that_stay_inside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_paths, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_remove_what_is_deep, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_remove_follows_no_link, set_up, tear_down)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
