#include "base/mem.h"
#include "base/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_url_is_taken_apart(void **state)
{
	static const struct {
		const char *text, *host, *path, *authority;
		int port;
		bool tls;
	} urls[] = {
		{"http://h", "h", "/", "h", 80, false},
		{"HTTPS://h/x?y#z", "h", "/x?y", "h", 443, true},
		{"http://h?a=/../b", "h", "/?a=/../b", "h", 80, false},
		{"http://[::1]:8080/a", "::1", "/a", "[::1]:8080", 8080, false},
		{"https://h:80/a//b/", "h", "/a//b/", "h:80", 80, true},
		{"http://h/a/./b/../../c/..", "h", "/", "h", 80, false},
		{"http://h/../../a/.", "h", "/a/", "h", 80, false},
		{"http://h/a/...b/..c/.d?/..", "h", "/a/...b/..c/.d?/..", "h", 80, false},
		{"http://h/.", "h", "/", "h", 80, false},
	};
	for (size_t i = 0; i < countof(urls); i++) {
		struct url u;
		struct error err = {0};
		if (url_parse(urls[i].text, &u, &err) < 0)
			fail_msg("%s: %s", urls[i].text, err.text);
		autofree char *authority = url_authority(&u);
		assert_string_equal(u.host, urls[i].host);
		assert_string_equal(u.path, urls[i].path);
		assert_string_equal(authority, urls[i].authority);
		assert_int_equal(u.port, urls[i].port);
		assert_int_equal(u.tls, urls[i].tls);
		url_fini(&u);
	}
}

static void bad_urls_are_refused(void **state)
{
	static const char *const urls[] = {"", "ftp://x/", "http:/x", "http://", "http:///path", "http://h:0/",
		"http://h:65536/", "http://h:1x/", "http://h:/", "http://u@h/", "http://[::1/", "http://[::1]x/",
		"http://h/a b", "http://h/a\nb", "/etc/passwd", "//h/x"};
	for (size_t i = 0; i < countof(urls); i++) {
		struct url u;
		struct error err = {0};
		assert_int_equal(url_parse(urls[i], &u, &err), -1);
		assert_true(strlen(err.text) > 0);
		url_fini(&u);
	}
}

static void resolves_to(const char *from, const char *reference, const char *want)
{
	struct url base, to;
	assert_int_equal(url_parse(from, &base, NULL), 0);
	autofree char *next = url_resolve(&base, reference);
	assert_int_equal(url_parse(next, &to, NULL), 0);
	autofree char *authority = url_authority(&to),
		      *have = mem_printf("%s %s%s", to.tls ? "tls" : "plain", authority, to.path);
	if (strcmp(have, want) != 0)
		fail_msg("'%s' from '%s' is '%s', expected '%s'", reference, from, have, want);
	url_fini(&base);
	url_fini(&to);
}

static void references_are_resolved(void **state)
{
	static const char from[] = "https://h:8443/a/b?c=/d/e";
	resolves_to(from, "http://other/x", "plain other/x");
	resolves_to(from, "HTTPS://other", "tls other/");
	resolves_to(from, "//other/x", "tls other/x");
	resolves_to(from, "/x", "tls h:8443/x");
	resolves_to(from, "x", "tls h:8443/a/x");
	resolves_to(from, "../x/./y", "tls h:8443/x/y");
	resolves_to(from, "?f=g", "tls h:8443/a/b?f=g");
	resolves_to(from, "#f", "tls h:8443/a/b?c=/d/e");
	// a URL that is only an argument of the reference does not make it absolute
	resolves_to(from, "/dl?u=https://cdn/file", "tls h:8443/dl?u=https://cdn/file");
	resolves_to(from, "dl?u=https://cdn/file", "tls h:8443/a/dl?u=https://cdn/file");
	resolves_to(from, "?u=https://cdn/file", "tls h:8443/a/b?u=https://cdn/file");
	resolves_to(from, "/proxy/https://cdn/file", "tls h:8443/proxy/https://cdn/file");
	resolves_to("http://[::1]/a", "b", "plain [::1]/b");
	struct url base;
	assert_int_equal(url_parse(from, &base, NULL), 0);
	autofree char *file = url_resolve(&base, "file:///etc/passwd");
	assert_string_equal(file, "file:///etc/passwd");
	url_fini(&base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_url_is_taken_apart),
		cmocka_unit_test(bad_urls_are_refused),
		cmocka_unit_test(references_are_resolved),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
