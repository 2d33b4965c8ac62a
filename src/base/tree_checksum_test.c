#include "base/fs.h"
#include "base/mem.h"
#include "base/tree_checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/treesum-XXXXXX";

static void put(const char *name, const char *text)
{
	autofree char *path = fs_join(dir, name);
	assert_int_equal(fs_write(path, text, strlen(text), 0644, NULL), 0);
}

static const char *sum(void)
{
	static char hex[2][CRYPTO_HEX];
	static int turn;
	struct error err;
	turn = !turn;
	assert_int_equal(tree_checksum_make(dir, hex[turn], &err), 0);
	return hex[turn];
}

static void test_what_counts(void **state)
{
	autofree char *sub = fs_join(dir, "sub"), *link = fs_join(dir, "link"), *file = fs_join(dir, "sub/b");
	assert_int_equal(mkdir(sub, 0755), 0);
	put("a", "one");
	put("sub/b", "two");
	autofree char *first = mem_strdup(sum());
	assert_string_equal(sum(), first);
	put("a", "one"); // another file of the same contents, and time
	assert_string_equal(sum(), first);
	put("a", "onE");
	assert_string_not_equal(sum(), first);
	put("a", "one");
	assert_int_equal(symlink("nowhere", link), 0);
	assert_string_not_equal(sum(), first);
	autofree char *linked = mem_strdup(sum());
	unlink(link);
	assert_int_equal(symlink("elsewhere", link), 0);
	assert_string_not_equal(sum(), linked);
	unlink(link);
	assert_string_equal(sum(), first);
	assert_int_equal(chmod(file, 0755), 0);
	assert_string_not_equal(sum(), first);
	assert_int_equal(chmod(file, 0600), 0); // who may read it is the machine's business
	assert_string_equal(sum(), first);
	put("sub/c", "");
	assert_string_not_equal(sum(), first);
}

static void test_what_is_not_there(void **state)
{
	struct error err;
	char hex[CRYPTO_HEX];
	assert_int_equal(tree_checksum_make("/nonexistent", hex, &err), -1);
	assert_non_null(strstr(err.text, "/nonexistent"));
}

static int make(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int clear(void **state)
{
	return fs_remove(dir, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_counts), cmocka_unit_test(test_what_is_not_there)};
	return cmocka_run_group_tests(tests, make, clear);
}
