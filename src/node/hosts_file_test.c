#include "base/fs.h"
#include "base/mem.h"
#include "node/hosts_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH "/tmp/hosts_file_test.XXXXXX"

static json_t *two_peers(const char *first)
{
	return mem_json("[{s:s, s:s}, {s:s, s:s}, {s:s}]", "name", "node-0", "address", first, "name", "node-1",
		"address", "10.0.0.2", "address", "10.0.0.3");
}

static void check(const char *path, const char *expected)
{
	autofree char *text = fs_read(path, 65536, NULL, NULL);
	assert_string_equal(text, expected);
}

static void names_are_added_and_replaced(void **state)
{
	char path[] = PATH;
	int fd = mkstemp(path);
	fs_write_fd(fd, "127.0.0.1 localhost\n# end", 25, NULL);
	autojson json_t *peers = two_peers("10.0.0.1"), *moved = two_peers("10.0.0.9");
	assert_int_equal(hosts_file_set(path, peers, NULL), 0);
	check(path, "127.0.0.1 localhost\n# end\n10.0.0.1\tnode-0\t# muster\n10.0.0.2\tnode-1\t# muster\n");
	assert_int_equal(hosts_file_set(path, moved, NULL), 0);
	check(path, "127.0.0.1 localhost\n# end\n10.0.0.9\tnode-0\t# muster\n10.0.0.2\tnode-1\t# muster\n");
	autojson json_t *none = json_array();
	assert_int_equal(hosts_file_set(path, none, NULL), 0);
	check(path, "127.0.0.1 localhost\n# end\n");
	close(fd);
	unlink(path);
}

static void a_peer_that_is_called_as_its_address_needs_no_line(void **state)
{
	char path[] = PATH;
	close(mkstemp(path));
	autojson json_t *peers = mem_json("[{s:s, s:s}]", "name", "10.0.0.1", "address", "10.0.0.1");
	assert_int_equal(hosts_file_set(path, peers, NULL), 0);
	check(path, "");
	unlink(path);
}

static void what_is_not_there_is_an_error(void **state)
{
	struct error err = {0};
	autojson json_t *peers = two_peers("10.0.0.1");
	assert_int_equal(hosts_file_set("/nonexistent/hosts", peers, &err), -1);
	assert_non_null(strstr(err.text, "/nonexistent/hosts"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_added_and_replaced),
		cmocka_unit_test(a_peer_that_is_called_as_its_address_needs_no_line),
		cmocka_unit_test(what_is_not_there_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
