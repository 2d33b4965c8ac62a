#include "base/fs.h"
#include "base/mem.h"

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
		cmocka_unit_test_setup_teardown(test_remove_what_is_deep, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_remove_follows_no_link, set_up, tear_down)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
