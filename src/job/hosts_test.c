#include "base/mem.h"
#include "job/hosts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void expands(const char *pattern, const char *expected)
{
	struct error err = {0};
	autojson json_t *names = hosts_expand(pattern, &err);
	autofree char *text = json_dumps(names, JSON_COMPACT);
	assert_string_equal(text ? text : err.text, expected);
}

static void ranges(void **state)
{
	expands("a", "[\"a\"]");
	expands("n[8-11]", "[\"n8\",\"n9\",\"n10\",\"n11\"]");
	expands("n[08:10].x", "[\"n08.x\",\"n09.x\",\"n10.x\"]");
	expands("n[0:4:2]", "[\"n0\",\"n2\",\"n4\"]");
	expands("r[1-2]n[1-2]", "[\"r1n1\",\"r1n2\",\"r2n1\",\"r2n2\"]");
	expands("n[5-5]", "[\"n5\"]");
	static const char *const bad[] = {"n[", "n[]", "n[1]", "n[2-1]", "n[a-b]", "n[1-2", "n[1-]", "n[-1]",
		"n[1:4:0]", "n[1-999999999]", "n[0-99999]"};
	for (size_t i = 0; i < countof(bad); i++) {
		struct error err = {0};
		assert_null(hosts_expand(bad[i], &err));
		assert_int_equal(err.code, ERROR_USAGE);
	}
}

static void is_host(const char *text, const char *expected)
{
	struct error err = {0};
	autojson json_t *list = json_array();
	int rc = hosts_add(list, text, &err);
	autofree char *got = json_dumps(list, JSON_COMPACT);
	assert_string_equal(rc ? err.text : got, expected);
}

static void hosts(void **state)
{
	is_host("a", "[{\"host\":\"a\"}]");
	is_host("me@b:2222", "[{\"host\":\"b\",\"user\":\"me\",\"port\":2222}]");
	is_host("me@n[1-2]:22",
		"[{\"host\":\"n1\",\"user\":\"me\",\"port\":22},{\"host\":\"n2\",\"user\":\"me\",\"port\":22}]");
	is_host("fe80::1%eth0", "[{\"host\":\"fe80::1%eth0\"}]");
	is_host("[::1]:2222", "[{\"host\":\"::1\",\"port\":2222}]");
	static const char *const bad[] = {
		"", "-oProxyCommand=x", "a b", "a;b", "@a", "-x@a", "a:0", "a:x", "a:70000", "a'b", "[::1]:x", "a\n"};
	for (size_t i = 0; i < countof(bad); i++) {
		struct error err = {0};
		autojson json_t *list = json_array();
		assert_int_equal(hosts_add(list, bad[i], &err), -1);
		assert_non_null(strstr(err.text, "expected"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(ranges), cmocka_unit_test(hosts)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
