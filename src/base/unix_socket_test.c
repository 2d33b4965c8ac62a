#include "base/fs.h"
#include "base/mem.h"
#include "base/unix_socket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void check_pair(const char *path)
{
	struct error err;
	int listener = unix_socket_listen(path, &err);
	assert_true(listener >= 0);
	int client = unix_socket_connect(path, &err);
	assert_true(client >= 0);
	int server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	assert_int_equal(write(client, "hello", 5), 5);
	char text[8] = "";
	assert_int_equal(read(server, text, sizeof text), 5);
	assert_string_equal(text, "hello");
	close(server);
	close(client);
	close(listener);
}

static void test_paths(void **state)
{
	char dir[] = "/tmp/sock_test.XXXXXX";
	assert_non_null(mkdtemp(dir));
	autofree char *path = fs_join(dir, "s");
	check_pair(path);
	check_pair(path); // what was left of the first is replaced
	char long_name[200];
	memset(long_name, 'd', sizeof long_name);
	long_name[199] = '\0';
	autofree char *deep = fs_join(dir, long_name);
	struct error err;
	assert_int_equal(fs_mkdirs(deep, 0700, &err), 0);
	autofree char *far = fs_join(deep, "s");
	check_pair(far);
	assert_int_equal(fs_remove(dir, &err), 0);
}

static void test_errors(void **state)
{
	struct error err = {0};
	assert_int_equal(unix_socket_connect("/nonexistent/dir/s", &err), -1);
	assert_non_null(strstr(err.text, "/nonexistent/dir"));
	assert_int_equal(unix_socket_listen("/nonexistent/dir/s", &err), -1);
	assert_int_equal(unix_socket_connect("/tmp/no-such-socket", &err), -1);
	assert_non_null(strstr(err.text, "no-such-socket"));
	char name[150] = "/tmp/";
	memset(name + 5, 'n', sizeof name - 6);
	name[149] = '\0';
	assert_int_equal(unix_socket_listen(name, &err), -1);
	assert_non_null(strstr(err.text, "too long"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths), cmocka_unit_test(test_errors)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
