#include "base/clock.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/http_pool.h"
#include "base/http_stream.h"
#include "base/mem.h"
#include "base/str.h"
#include "fakes/scripted_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static const struct scripted_answer always[] = {{OK, false}, {OK, false}, {OK, false}, {OK, false}, {NULL, true}};

struct call {
	struct crypto_tls_options tls;
	struct proxy proxy;
	struct http_service service;
	const char *fields;
	char *text; // of the last answer
	bool hopeless;
	struct error err;
};

static void prepare(struct call *c, struct scripted_server *s)
{
	c->tls.bundle_text = scripted_server_cert(s);
	c->tls.host = "muster.test";
	c->tls.protocol = "http/1.1";
	c->service = (struct http_service){.host = "127.0.0.1", .port = scripted_server_port(s), .tls = &c->tls};
}

static int call(struct call *c, const char *method, const char *body)
{
	autostr struct str text = {0};
	struct http_request r = {.method = method,
		.path = "/x",
		.type = body ? "text/plain" : NULL,
		.body = body,
		.len = body ? strlen(body) : 0,
		.fields = c->fields,
		.hopeless = &c->hopeless,
		.idle = 10};
	c->err = (struct error){0};
	int status = http_call(&c->service, &r, &text, NULL, &c->err);
	free(c->text);
	c->text = str_steal(&text);
	return status;
}

static void finish(struct call *c, struct scripted_server *s)
{
	http_pool_free(c->service.pool);
	proxy_fini(&c->proxy);
	free(c->text);
	scripted_server_stop(s);
}

// --- connections that stay -----------------------------------------------------

static void a_connection_serves_many_requests(void **state)
{
	static const struct scripted_answer answers[] = {{OK, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", false},
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", false}, {"HTTP/1.1 204 None\r\n\r\n", false},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", false}, {OK, false},
		{"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false}, {OK, false},
		{"HTTP/1.1 200 OK\r\n\r\nto the end", true}, {OK, false}, {NULL, true}};
	static const int statuses[] = {200, 200, 404, 204, 200, 200, 200, 200, 200, 200};
	static const int connections[] = {0, 0, 0, 0, 0, 1, 1, 2, 2, 3};
	struct scripted_server *s = scripted_server_start(SCRIPTED_TLS, answers);
	struct call c = {0};
	prepare(&c, s);
	c.service.pool = http_pool_new();
	for (size_t i = 0; i < countof(statuses); i++) {
		if (call(&c, "GET", NULL) != statuses[i])
			fail_msg("%zu: %s", i, c.err.text);
		assert_int_equal(scripted_server_connection(s, i), connections[i]);
	}
	assert_string_equal(c.text, "ok");
	assert_null(strstr(scripted_server_request(s, 0), "Connection:"));
	finish(&c, s);
}

static void a_stale_connection_is_replaced_once(void **state)
{
	static const struct scripted_answer answers[] = {
		{OK, false}, {NULL, false}, {OK, false}, {NULL, false}, {NULL, false}, {NULL, true}};
	struct scripted_server *s = scripted_server_start(SCRIPTED_TLS, answers);
	struct call c = {0};
	prepare(&c, s);
	c.service.pool = http_pool_new();
	assert_int_equal(call(&c, "GET", NULL), 200);
	assert_int_equal(call(&c, "POST", "body"), 200); // the kept one ends without a word, the new one answers
	assert_int_equal(scripted_server_connection(s, 1), 0);
	assert_int_equal(scripted_server_connection(s, 2), 1);
	assert_true(str_ends(scripted_server_request(s, 2), "body"));
	assert_int_equal(call(&c, "GET", NULL), -1); // neither answers: that is the caller's to know
	assert_false(c.hopeless);
	assert_null(scripted_server_request(s, 5));
	finish(&c, s);
}

static void what_was_closed_meanwhile_is_not_used(void **state)
{
	struct scripted_server *s = scripted_server_start(SCRIPTED_TLS, always);
	struct call c = {0};
	prepare(&c, s);
	c.service.pool = http_pool_new();
	assert_int_equal(call(&c, "GET", NULL), 200);
	scripted_server_hang_up(s);
	assert_int_equal(call(&c, "GET", NULL), 200);
	assert_int_equal(scripted_server_connection(s, 1), 1);
	http_pool_clear(c.service.pool); // somebody else from now on
	assert_int_equal(call(&c, "GET", NULL), 200);
	assert_int_equal(scripted_server_connection(s, 2), 2);
	finish(&c, s);
}

static void without_a_pool_connections_are_closed(void **state)
{
	struct scripted_server *s = scripted_server_start(SCRIPTED_PLAIN, always);
	struct call c = {.fields = "Authorization: Bearer abc\r\nAccept: text/plain\r\n"};
	prepare(&c, s);
	c.service.tls = NULL;
	assert_int_equal(call(&c, "GET", NULL), 200);
	autofree char *want = mem_printf("GET /x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: muster\r\n"
					 "Authorization: Bearer abc\r\nAccept: text/plain\r\nConnection: close\r\n\r\n",
		scripted_server_port(s));
	assert_string_equal(scripted_server_request(s, 0), want);
	finish(&c, s);
}

// --- whom to trust ---------------------------------------------------------------

static void expect_untrusted(struct call *c)
{
	assert_int_equal(call(c, "GET", NULL), -1);
	if (!strstr(c->err.text, "not trusted"))
		fail_msg("%s", c->err.text);
	assert_true(c->hopeless);
}

static void a_server_is_trusted_for_its_certificate(void **state)
{
	struct scripted_server *s = scripted_server_start(SCRIPTED_TLS, always);
	struct call c = {0};
	struct crypto_identity other;
	prepare(&c, s);
	assert_int_equal(call(&c, "GET", NULL), 200); // another name, certificates from memory
	c.tls.host = NULL;                            // 127.0.0.1 is not in the certificate
	expect_untrusted(&c);
	c.tls.host = "other.test";
	expect_untrusted(&c);
	assert_int_equal(crypto_identity_make(&other, NULL), 0);
	c.tls.host = "muster.test";
	c.tls.bundle_text = other.cert;
	expect_untrusted(&c);
	c.tls.unverified = true;
	assert_int_equal(call(&c, "GET", NULL), 200);
	c.tls.unverified = false;
	c.tls.bundle_text = "no certificate";
	assert_int_equal(call(&c, "GET", NULL), -1);
	assert_non_null(strstr(c.err.text, "cannot read certificates"));
	assert_true(c.hopeless);
	crypto_identity_fini(&other);
	finish(&c, s);
}

static void a_client_shows_its_certificate(void **state)
{
	char dir[] = "/tmp/http-stream-test-XXXXXX";
	assert_non_null(mkdtemp(dir));
	struct scripted_server *s = scripted_server_start(SCRIPTED_TLS, always);
	struct call c = {0};
	struct crypto_identity one, two;
	prepare(&c, s);
	assert_int_equal(crypto_identity_make(&one, NULL), 0);
	assert_int_equal(crypto_identity_make(&two, NULL), 0);
	autofree char *cert = fs_join(dir, "cert"), *key = fs_join(dir, "key");
	assert_int_equal(fs_write(cert, two.cert, two.cert_len, 0644, NULL), 0);
	assert_int_equal(fs_write(key, two.key, two.key_len, 0600, NULL), 0);

	assert_int_equal(call(&c, "GET", NULL), 200);
	assert_string_equal(scripted_server_client(s, 0), "");
	c.tls.cert_text = one.cert;
	c.tls.key_text = one.key;
	assert_int_equal(call(&c, "GET", NULL), 200);
	assert_string_equal(scripted_server_client(s, 1), one.fingerprint);
	c.tls.cert_text = c.tls.key_text = NULL;
	c.tls.cert = cert;
	c.tls.key = key;
	assert_int_equal(call(&c, "GET", NULL), 200);
	assert_string_equal(scripted_server_client(s, 2), two.fingerprint);

	c.tls.key_text = one.key; // of the other certificate
	assert_int_equal(call(&c, "GET", NULL), -1);
	assert_non_null(strstr(c.err.text, "expected a pair"));
	assert_null(strstr(c.err.text, "PRIVATE"));
	crypto_identity_fini(&one);
	crypto_identity_fini(&two);
	finish(&c, s);
	assert_int_equal(fs_remove(dir, NULL), 0);
}

// --- proxies ----------------------------------------------------------------------

static void use_proxy(struct call *c, struct scripted_server *s, const char *scheme, const char *user)
{
	autofree char *text = mem_printf("%s://%slocalhost:%d", scheme, user, scripted_server_port(s));
	proxy_fini(&c->proxy);
	assert_int_equal(proxy_parse(text, &c->proxy, NULL), 0);
	prepare(c, s);
	c->service.host = "api.example";
	c->service.port = 6443;
	c->service.proxy = &c->proxy;
}

static void a_proxy_of_http_is_gone_through(void **state)
{
	struct scripted_server *s = scripted_server_start(SCRIPTED_CONNECT, always);
	struct call c = {0};
	use_proxy(&c, s, "http", "me:pass@");
	if (call(&c, "GET", NULL) != 200)
		fail_msg("%s", c.err.text);
	assert_true(str_starts(
		scripted_server_proxied(s), "CONNECT api.example:6443 HTTP/1.1\r\nHost: api.example:6443\r\n"));
	assert_non_null(strstr(scripted_server_proxied(s), "\r\nProxy-Authorization: Basic bWU6cGFzcw==\r\n"));
	assert_true(str_starts(scripted_server_request(s, 0), "GET /x HTTP/1.1\r\nHost: api.example:6443\r\n"));
	assert_null(strstr(scripted_server_request(s, 0), "Proxy-Authorization"));
	c.service.host = "refused";
	assert_int_equal(call(&c, "GET", NULL), -1);
	assert_non_null(strstr(c.err.text, "the proxy http://localhost:"));
	assert_non_null(strstr(c.err.text, "403 Not this one"));
	assert_null(strstr(c.err.text, "pass"));
	assert_true(c.hopeless);
	finish(&c, s);
}

static void a_proxy_cannot_answer_for_the_server(void **state)
{
	struct scripted_server *s = scripted_server_start(SCRIPTED_CONNECT, always);
	struct call c = {0};
	use_proxy(&c, s, "http", "");
	c.service.host = "talkative";
	assert_int_equal(call(&c, "GET", NULL), -1);
	assert_non_null(strstr(c.err.text, "says more than its answer"));
	finish(&c, s);
}

static void a_proxy_may_speak_tls_itself(void **state)
{
	char name[] = "/tmp/http-stream-test-XXXXXX";
	struct scripted_server *s = scripted_server_start(SCRIPTED_CONNECT_S, always);
	struct call c = {0};
	const char *cert = scripted_server_cert(s);
	int fd = mkstemp(name);
	assert_int_equal(write(fd, cert, strlen(cert)), strlen(cert));
	close(fd);
	setenv("SSL_CERT_FILE", name, 1);
	use_proxy(&c, s, "https", "");
	c.service.pool = http_pool_new();
	for (int i = 0; i < 3; i++)
		if (call(&c, "GET", NULL) != 200)
			fail_msg("%s", c.err.text);
	assert_int_equal(scripted_server_connection(s, 2), 0);
	assert_true(str_starts(scripted_server_proxied(s), "CONNECT api.example:6443 "));
	unsetenv("SSL_CERT_FILE");
	unlink(name);
	finish(&c, s);
}

static void a_proxy_of_socks_is_gone_through(void **state)
{
	struct scripted_server *s = scripted_server_start(SCRIPTED_SOCKS, always);
	struct call c = {0};
	use_proxy(&c, s, "socks5", "");
	if (call(&c, "GET", NULL) != 200)
		fail_msg("%s", c.err.text);
	assert_string_equal(scripted_server_proxied(s), "socks : api.example:6443");
	use_proxy(&c, s, "socks5h", "me:pass@");
	assert_int_equal(call(&c, "GET", NULL), 200);
	assert_string_equal(scripted_server_proxied(s), "socks me:pass api.example:6443");
	use_proxy(&c, s, "socks5h", "me@");
	assert_int_equal(call(&c, "GET", NULL), 200);
	assert_string_equal(scripted_server_proxied(s), "socks me: api.example:6443");
	use_proxy(&c, s, "socks5", "me:wrong@");
	assert_int_equal(call(&c, "GET", NULL), -1);
	assert_non_null(strstr(c.err.text, "does not accept the user 'me'"));
	assert_true(c.hopeless);
	use_proxy(&c, s, "socks5", "");
	c.service.host = "refused";
	assert_int_equal(call(&c, "GET", NULL), -1);
	assert_non_null(strstr(c.err.text, "connection refused"));
	assert_false(c.hopeless);
	finish(&c, s);
}

static void a_proxy_that_is_not_there_is_named(void **state)
{
	struct scripted_server *s = scripted_server_start(SCRIPTED_PLAIN, always);
	struct call c = {0};
	use_proxy(&c, s, "http", "");
	int port = scripted_server_port(s);
	scripted_server_stop(s);
	assert_int_equal(call(&c, "GET", NULL), -1);
	autofree char *want = mem_printf("the proxy http://localhost:%d: cannot connect", port);
	assert_true(str_starts(c.err.text, want));
	assert_false(c.hopeless);
	proxy_fini(&c.proxy);
	free(c.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_serves_many_requests),
		cmocka_unit_test(a_stale_connection_is_replaced_once),
		cmocka_unit_test(what_was_closed_meanwhile_is_not_used),
		cmocka_unit_test(without_a_pool_connections_are_closed),
		cmocka_unit_test(a_server_is_trusted_for_its_certificate),
		cmocka_unit_test(a_client_shows_its_certificate),
		cmocka_unit_test(a_proxy_of_http_is_gone_through),
		cmocka_unit_test(a_proxy_cannot_answer_for_the_server),
		cmocka_unit_test(a_proxy_may_speak_tls_itself),
		cmocka_unit_test(a_proxy_of_socks_is_gone_through),
		cmocka_unit_test(a_proxy_that_is_not_there_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
