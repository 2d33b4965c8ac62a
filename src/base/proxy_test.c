#include "base/mem.h"
#include "base/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_proxy_is_named(void **state)
{
	static const struct {
		const char *text;
		enum proxy_kind kind;
		bool tls;
		const char *host;
		int port;
		const char *user, *password, *place;
	} rows[] = {
		{"http://proxy:3128", PROXY_HTTP, false, "proxy", 3128, NULL, NULL, "http://proxy:3128"},
		{"proxy", PROXY_HTTP, false, "proxy", 80, NULL, NULL, "http://proxy"},
		{"proxy:8080/", PROXY_HTTP, false, "proxy", 8080, NULL, NULL, "http://proxy:8080"},
		{"HTTPS://proxy.example", PROXY_HTTP, true, "proxy.example", 443, NULL, NULL, "https://proxy.example"},
		{"socks5://127.0.0.1", PROXY_SOCKS5, false, "127.0.0.1", 1080, NULL, NULL, "socks5://127.0.0.1"},
		{"socks5h://[::1]:99", PROXY_SOCKS5, false, "::1", 99, NULL, NULL, "socks5h://[::1]:99"},
		{"socks5://[::1]", PROXY_SOCKS5, false, "::1", 1080, NULL, NULL, "socks5://[::1]"},
		{"http://me:p%40ss@proxy", PROXY_HTTP, false, "proxy", 80, "me", "p@ss", "http://proxy"},
		{"http://me@proxy:1", PROXY_HTTP, false, "proxy", 1, "me", "", "http://proxy:1"},
	};
	for (size_t i = 0; i < countof(rows); i++) {
		struct proxy p;
		struct error err = {0};
		if (proxy_parse(rows[i].text, &p, &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.text);
		assert_int_equal(p.kind, rows[i].kind);
		assert_int_equal(p.tls, rows[i].tls);
		assert_string_equal(p.host, rows[i].host);
		assert_int_equal(p.port, rows[i].port);
		assert_string_equal(p.place, rows[i].place);
		assert_string_equal(p.user ? p.user : "-", rows[i].user ? rows[i].user : "-");
		assert_string_equal(p.password ? p.password : "-", rows[i].password ? rows[i].password : "-");
		proxy_fini(&p);
	}
}

static void what_is_no_proxy_is_refused(void **state)
{
	static const char *const texts[] = {"", "ftp://x", "socks4://x", "http://", "http://x:0", "http://x:99999",
		"http://x y", "http://a:secret%0a@x", "http://a:secret%4@x", "http://a:secret%zz@x", "http://[::1",
		"socks5://secret@", "http://me:secret/@x"};
	for (size_t i = 0; i < countof(texts); i++) {
		struct proxy p;
		struct error err = {0};
		assert_int_equal(proxy_parse(texts[i], &p, &err), -1);
		assert_non_null(strstr(err.text, "proxy"));
		assert_null(strstr(err.text, "secret"));
		assert_int_equal(err.code, ERROR_USAGE);
		proxy_fini(&p);
	}
}

static void the_environment_names_one(void **state)
{
	unsetenv("HTTPS_PROXY");
	unsetenv("https_proxy");
	unsetenv("HTTP_PROXY");
	unsetenv("http_proxy");
	unsetenv("NO_PROXY");
	unsetenv("no_proxy");
	assert_null(proxy_find(true, "api.example", 443));
	setenv("https_proxy", "lower", 1);
	setenv("HTTP_PROXY", "plain", 1);
	assert_string_equal(proxy_find(true, "api.example", 443), "lower");
	setenv("HTTPS_PROXY", "upper", 1);
	assert_string_equal(proxy_find(true, "api.example", 443), "upper");
	assert_string_equal(proxy_find(false, "api.example", 80), "plain");
	assert_null(proxy_find(true, "localhost", 443));
	assert_null(proxy_find(true, "127.1.2.3", 443));
	assert_null(proxy_find(true, "::1", 443));
}

static void some_servers_are_excluded(void **state)
{
	static const struct {
		const char *none, *host;
		int port;
		bool excluded;
	} rows[] = {
		{"*", "api.example", 443, true},
		{"example", "api.example", 443, true},
		{"EXAMPLE", "api.example", 443, true},
		{"xample", "api.example", 443, false},
		{".example", "api.example", 443, true},
		{".api.example", "api.example", 443, false},
		{"*.example", "api.example", 443, true},
		{"*.api.example", "api.example", 443, false},
		{"api.example", "api.example", 443, true},
		{"api.example:443", "api.example", 443, true},
		{"api.example:6443", "api.example", 443, false},
		{"a.b, ,api.example", "api.example", 443, true},
		{"other", "api.example", 443, false},
		{"10.0.0.1", "10.0.0.1", 6443, true},
		{"10.0.0.1:6443", "10.0.0.1", 6443, true},
		{"10.0.0.1:443", "10.0.0.1", 6443, false},
		{"10.0.0.0/8", "10.200.0.1", 6443, true},
		{"10.0.0.0/9", "10.200.0.1", 6443, false},
		{"10.128.0.0/9", "10.200.0.1", 6443, true},
		{"0.0.0.0/0", "10.200.0.1", 6443, true},
		{"10.0.0.0/33", "10.0.0.0", 6443, false},
		{"10.0.0.0/x", "10.0.0.0", 6443, false},
		{"10.0.0.0/", "10.0.0.0", 6443, false},
		{"10.0.0.0/8", "api.example", 6443, false},
		{"fd00::/8", "fd12::1", 6443, true},
		{"fd12::1", "fd12::1", 6443, true},
		{"[fd12::1]:6443", "fd12::1", 6443, true},
		{"[fd12::1]:1", "fd12::1", 6443, false},
		{"fe80::/10", "fd12::1", 6443, false},
	};
	setenv("HTTPS_PROXY", "proxy", 1);
	for (size_t i = 0; i < countof(rows); i++) {
		setenv("NO_PROXY", rows[i].none, 1);
		bool excluded = proxy_find(true, rows[i].host, rows[i].port) == NULL;
		if (excluded != rows[i].excluded)
			fail_msg("'%s' and %s:%d: %d", rows[i].none, rows[i].host, rows[i].port, excluded);
	}
	unsetenv("NO_PROXY");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_proxy_is_named),
		cmocka_unit_test(what_is_no_proxy_is_refused),
		cmocka_unit_test(the_environment_names_one),
		cmocka_unit_test(some_servers_are_excluded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
