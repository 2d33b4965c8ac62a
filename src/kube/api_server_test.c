// Against scripted answers, which are cut down from those of a real API server (1.34).
#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "fakes/scripted_server.h"
#include "kube/access_review.h"
#include "kube/api_server.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define JSON_HEAD "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
#define FAILURE(code, reason, message)                                                                                 \
	"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"" message     \
	"\",\"reason\":\"" reason "\",\"code\":" code "}"

// An answer with a length, owned by the caller.
static char *answer(const char *status, const char *fields, const char *body)
{
	return mem_printf("HTTP/1.1 %s\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n%s", status,
		fields, strlen(body), body);
}

struct place {
	char dir[48];
	struct scripted_server *server;
	struct api_server *api;
	struct scripted_answer answers[60];
	size_t count;
	struct error err;
};

static void put(const struct place *at, const char *name, const char *text, mode_t mode)
{
	autofree char *path = fs_join(at->dir, name);
	assert_int_equal(fs_write(path, text, strlen(text), mode, NULL), 0);
}

static void will_say(struct place *at, char *text, bool hang_up)
{
	at->answers[at->count++] = (struct scripted_answer){text, hang_up};
}

static void will_answer(struct place *at, const char *status, const char *fields, const char *body)
{
	will_say(at, answer(status, fields, body), false);
}

// Begins to serve what was said that it will say, by TLS or without, to a user as described.
static void begin_as(struct place *at, enum scripted_kind kind, const char *user)
{
	strcpy(at->dir, "/tmp/api-server-test-XXXXXX");
	assert_non_null(mkdtemp(at->dir));
	at->answers[at->count] = (struct scripted_answer){NULL, true};
	at->server = scripted_server_start(kind, at->answers);
	put(at, "ca.crt", scripted_server_cert(at->server), 0644);
	autofree char *text = mem_printf("clusters: [{name: k, cluster: {server: '%s://localhost:%d/prefix/', "
					 "certificate-authority: ca.crt, tls-server-name: muster.test}}]\n"
					 "contexts: [{name: c, context: {cluster: k, user: u, namespace: team}}]\n"
					 "current-context: c\nusers: [{name: u, user: {%s}}]\n",
		kind == SCRIPTED_PLAIN ? "http" : "https", scripted_server_port(at->server), user);
	put(at, "config", text, 0600);
	autofree char *path = fs_join(at->dir, "config");
	setenv("KUBECONFIG", path, 1);
	at->api = api_server_open(NULL, NULL, &at->err);
	if (!at->api)
		fail_msg("%s", at->err.text);
}

static void begin(struct place *at, const char *user)
{
	begin_as(at, SCRIPTED_TLS, user);
}

static void end(struct place *at)
{
	api_server_free(at->api);
	if (at->server)
		scripted_server_stop(at->server);
	for (size_t i = 0; i < at->count; i++)
		free((char *)at->answers[i].text);
	assert_int_equal(fs_remove(at->dir, NULL), 0);
}

static bool has_field(struct place *at, size_t request, const char *field)
{
	const char *text = scripted_server_request(at->server, request);
	return text && strstr(text, field);
}

static void it_asks_and_is_answered(void **state)
{
	struct place at = {0};
	autojson json_t *body = mem_json("{s:s}", "a", "b"), *said = NULL, *warnings = json_array();
	will_answer(&at, "200 OK", "", "{\"gitVersion\":\"v1.34.4\"}");
	will_answer(&at, "201 Created",
		"Warning: 299 - \"would violate \\\"restricted\\\"\"\r\nWarning: 299 - \"second\"\r\n",
		"{\"kind\":\"Job\"}");
	will_answer(&at, "200 OK", "", "");
	will_answer(&at, "200 OK", "", "[1");
	begin(&at, "token: abc");
	assert_string_equal(api_server_namespace(at.api), "team");
	assert_string_equal(api_server_context(at.api), "c");
	assert_false(api_server_in_cluster(at.api));
	if (api_server_do(at.api, "GET", "/version", NULL, &said, &at.err) < 0)
		fail_msg("%s", at.err.text);
	assert_string_equal(json_text(said, "gitVersion"), "v1.34.4");
	assert_true(str_starts(scripted_server_request(at.server, 0), "GET /prefix/version HTTP/1.1\r\n"));
	assert_true(has_field(&at, 0, "\r\nAuthorization: Bearer abc\r\n"));
	assert_true(has_field(&at, 0, "\r\nAccept: application/json\r\n"));

	struct api_server_ask ask = {.method = "PATCH",
		.path = "/x",
		.body = body,
		.type = "application/merge-patch+json",
		.accept = "x/y",
		.warnings = warnings};
	json_decref(steal(said));
	assert_int_equal(api_server_ask(at.api, &ask, &said, &at.err), 201);
	assert_true(has_field(&at, 1, "\r\nContent-Type: application/merge-patch+json\r\n"));
	assert_true(has_field(&at, 1, "\r\nAccept: x/y\r\n"));
	assert_true(str_ends(scripted_server_request(at.server, 1), "\r\n\r\n{\"a\":\"b\"}"));
	assert_int_equal(json_array_size(warnings), 2);
	assert_string_equal(json_string_value(json_array_get(warnings, 0)), "would violate \"restricted\"");

	json_decref(steal(said));
	assert_int_equal(api_server_do(at.api, "DELETE", "/x", NULL, &said, &at.err), 0);
	assert_null(said);
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, &said, &at.err), -1);
	assert_non_null(strstr(at.err.text, "to GET /x is no JSON"));
	assert_int_equal(api_server_requests(at.api), 4);
	assert_int_equal(scripted_server_connection(at.server, 3), 0); // all over one connection
	end(&at);
}

static void what_it_refuses_is_said_in_its_words(void **state)
{
	struct place at = {0};
	json_t *said = NULL;
	will_answer(&at, "403 Forbidden", "", FAILURE("403", "Forbidden", "exceeded quota: small"));
	will_answer(&at, "404 Not Found", "", FAILURE("404", "NotFound", "pods \\\"x\\\" not found"));
	will_answer(&at, "403 Forbidden", "", "<html>\n<p>Proxy</p>");
	will_answer(&at, "302 Found", "Location: https://login.example\r\n", "");
	will_answer(&at, "403 Forbidden", "", FAILURE("403", "Forbidden", "pods is forbidden: a cannot list it"));
	will_answer(&at, "422 Unprocessable", "", FAILURE("422", "Invalid", "first:\\n\\u001b[2Jsecond"));
	begin(&at, "token: abc");
	assert_int_equal(api_server_do(at.api, "POST", "/x", NULL, NULL, &at.err), -1);
	assert_string_equal(at.err.text, "the API server says: exceeded quota: small");
	assert_int_equal(at.err.code, ERROR_SYSTEM);
	struct api_server_ask ask = {.method = "GET", .path = "/x"};
	assert_int_equal(api_server_ask(at.api, &ask, &said, &at.err), 404);
	assert_string_equal(json_text(said, "reason"), "NotFound"); // callers decide by the reason
	json_decref(said);
	assert_int_equal(api_server_ask(at.api, &ask, &said, &at.err), 403);
	assert_non_null(strstr(at.err.text, "answers with status 403: <html> <p>Proxy</p>"));
	assert_null(said);
	assert_int_equal(api_server_ask(at.api, &ask, &said, &at.err), -1);
	assert_non_null(strstr(at.err.text, "sends us elsewhere (status 302)"));
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), -1);
	assert_non_null(strstr(at.err.text, "a cannot list it; `muster doctor` lists the rights"));
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), -1);
	assert_string_equal(at.err.text, "the API server says: first:  [2Jsecond"); // and nothing for a terminal
	end(&at);
}

static void what_may_pass_is_asked_again(void **state)
{
	struct place at = {0};
	json_t *said = NULL;
	will_answer(&at, "429 Too Many Requests", "Retry-After: 0\r\n", FAILURE("429", "TooManyRequests", "slow down"));
	will_say(&at, NULL, false); // no answer, neither over the kept connection nor over a new one
	will_say(&at, NULL, false);
	will_answer(&at, "503 Unavailable", "", "starting");
	will_answer(&at, "200 OK", "", "{}");
	will_answer(
		&at, "429 Too Many Requests", "Retry-After: 3600\r\n", FAILURE("429", "TooManyRequests", "slow down"));
	will_answer(&at, "500 Error", "", FAILURE("500", "InternalError", "no webhook"));
	begin(&at, "token: abc");
	struct api_server_ask ask = {.method = "GET", .path = "/x"},
			      once = {.method = "GET", .path = "/x", .once = true};
	assert_int_equal(api_server_ask(at.api, &ask, &said, &at.err), 200);
	json_decref(said);
	assert_int_equal(api_server_requests(at.api), 4);
	double before = clock_mono();
	assert_int_equal(api_server_ask(at.api, &ask, NULL, &at.err), 429); // longer than we wait
	assert_true(clock_mono() - before < 20);
	assert_string_equal(at.err.text, "the API server says: slow down");
	assert_int_equal(api_server_ask(at.api, &once, NULL, &at.err), 500);
	assert_string_equal(at.err.text, "the API server says: no webhook");
	assert_int_equal(api_server_requests(at.api), 6);
	atomic_bool cancelled = false;
	struct api_server_ask stopped = {.method = "GET", .path = "/x", .cancelled = &cancelled};
	cancelled = true;
	assert_int_equal(api_server_ask(at.api, &stopped, NULL, &at.err), -1);
	end(&at);
}

static void what_is_there_already_was_made(void **state)
{
	struct place at = {0};
	json_t *said = NULL;
	autojson json_t *body = mem_json("{s:s}", "kind", "Job");
	will_answer(&at, "409 Conflict", "", FAILURE("409", "AlreadyExists", "jobs.batch \\\"r1\\\" already exists"));
	will_answer(&at, "409 Conflict", "", FAILURE("409", "Conflict", "the object has been modified"));
	will_answer(&at, "201 Created", "", "{\"kind\":\"Job\"}");
	begin(&at, "token: abc");
	assert_int_equal(api_server_create(at.api, "/jobs", body, &said, &at.err), 1);
	assert_null(said);
	assert_int_equal(api_server_create(at.api, "/jobs", body, &said, &at.err), -1);
	assert_non_null(strstr(at.err.text, "has been modified"));
	assert_int_equal(api_server_create(at.api, "/jobs", body, &said, &at.err), 0);
	assert_string_equal(json_text(said, "kind"), "Job");
	json_decref(said);
	end(&at);
}

// --- credentials -----------------------------------------------------------------

#define UNAUTHORIZED "401 Unauthorized", "", FAILURE("401", "Unauthorized", "Unauthorized")

static void a_token_that_rotates_is_read_again(void **state)
{
	struct place at = {0};
	for (int i = 0; i < 4; i++)
		will_answer(&at, "200 OK", "", "{}");
	will_answer(&at, UNAUTHORIZED);
	will_answer(&at, UNAUTHORIZED);
	begin(&at, "tokenFile: token, token: fallback");
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), 0);
	assert_true(has_field(&at, 0, "Bearer fallback\r\n"));
	put(&at, "token", "first\n", 0600);
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), 0);
	assert_true(has_field(&at, 1, "Bearer first\r\n"));
	put(&at, "token", "second", 0600);
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), 0);
	assert_true(has_field(&at, 2, "Bearer second\r\n"));
	put(&at, "token", "", 0600); // half written
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), 0);
	assert_true(has_field(&at, 3, "Bearer second\r\n"));
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), -1);
	assert_non_null(strstr(at.err.text, "does not accept the token of "));
	assert_non_null(strstr(at.err.text, "it may have expired"));
	assert_null(strstr(at.err.text, "second"));
	assert_int_equal(api_server_requests(at.api), 6);
	end(&at);
}

static void a_token_that_is_not_there_is_named(void **state)
{
	struct place at = {0};
	begin(&at, "tokenFile: none");
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), -1);
	assert_non_null(strstr(at.err.text, "/none"));
	assert_null(strstr(at.err.text, "does not answer"));
	assert_int_equal(api_server_requests(at.api), 0);
	end(&at);
}

static void certificates_in_files_are_read_again(void **state)
{
	struct place at = {0};
	struct crypto_identity one, two;
	assert_int_equal(crypto_identity_make(&one, NULL), 0);
	assert_int_equal(crypto_identity_make(&two, NULL), 0);
	will_answer(&at, "200 OK", "", "{}");
	will_answer(&at, UNAUTHORIZED); // it has expired
	will_answer(&at, "200 OK", "", "{}");
	begin(&at, "client-certificate: crt, client-key: key");
	put(&at, "crt", one.cert, 0644);
	put(&at, "key", one.key, 0600);
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), 0);
	assert_string_equal(scripted_server_client(at.server, 0), one.fingerprint);
	put(&at, "crt", two.cert, 0644);
	put(&at, "key", two.key, 0600);
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), 0);
	assert_string_equal(scripted_server_client(at.server, 1), one.fingerprint);
	assert_string_equal(scripted_server_client(at.server, 2), two.fingerprint);
	crypto_identity_fini(&one);
	crypto_identity_fini(&two);
	end(&at);
}

// Everybody on the way would read them.
static void without_tls_no_credentials_are_shown(void **state)
{
	static const char *const users[] = {"token: secret", "username: me, password: secret", "tokenFile: token",
		"exec: {apiVersion: client.authentication.k8s.io/v1, command: ./login, interactiveMode: Never}"};
	for (size_t i = 0; i < countof(users); i++) {
		struct place at = {0};
		will_answer(&at, UNAUTHORIZED);
		will_answer(&at, UNAUTHORIZED);
		begin_as(&at, SCRIPTED_PLAIN, users[i]);
		put(&at, "token", "secret", 0600);
		put(&at, "login", "#!/bin/sh\n>\"${0%/*}/was-run\"\n", 0755);
		assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), -1);
		assert_non_null(strstr(at.err.text, "does not accept a request by http, which shows no credentials"));
		assert_false(has_field(&at, 0, "Authorization"));
		autofree char *run = fs_join(at.dir, "was-run");
		assert_false(fs_exists(run));
		end(&at);
	}
}

// The plugin counts how often it was run, and gives that as the token.
static const char counter[] =
	"#!/bin/sh\ncd \"${0%/*}\" || exit 1\necho x >>runs\n"
	"printf '{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", "
	"\"status\": {\"token\": \"run-%s\"%s}}' \"$(wc -l <runs)\" \"$(cat more)\"\n";
#define PLUGIN "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./login, interactiveMode: Never}"

static void a_plugin_is_not_run_beside_other_credentials(void **state)
{
	struct place at = {0};
	will_answer(&at, "200 OK", "", "{}");
	begin(&at, "username: me, password: secret, " PLUGIN);
	put(&at, "login", counter, 0755);
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), 0);
	assert_true(has_field(&at, 0, "Authorization: Basic "));
	autofree char *runs = fs_join(at.dir, "runs");
	assert_false(fs_exists(runs));
	end(&at);
}

static void a_plugin_is_run_again_when_it_is_time(void **state)
{
	struct place at = {0};
	for (int i = 0; i < 2; i++)
		will_answer(&at, "200 OK", "", "{}");
	will_answer(&at, UNAUTHORIZED);
	will_answer(&at, "200 OK", "", "{}");
	will_answer(&at, UNAUTHORIZED);
	will_answer(&at, UNAUTHORIZED);
	will_answer(&at, "200 OK", "", "{}");
	begin(&at, PLUGIN);
	put(&at, "login", counter, 0755);
	put(&at, "more", "", 0644);
	for (int i = 0; i < 2; i++)
		if (api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err) < 0)
			fail_msg("%s", at.err.text);
	assert_true(has_field(&at, 0, "Bearer run-1\r\n") && has_field(&at, 1, "Bearer run-1\r\n")); // it is kept
	put(&at, "more", ", \"expirationTimestamp\": \"2020-01-01T00:00:00Z\"", 0644);
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), 0);
	assert_true(has_field(&at, 2, "Bearer run-1\r\n") && has_field(&at, 3, "Bearer run-2\r\n"));
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), -1); // twice in vain
	assert_true(has_field(&at, 4, "Bearer run-3\r\n") && has_field(&at, 5, "Bearer run-4\r\n"));
	assert_non_null(strstr(at.err.text, "does not accept what the credential plugin gives"));
	assert_null(strstr(at.err.text, "run-"));
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), 0);
	end(&at);
}

static void a_plugin_that_fails_is_the_error(void **state)
{
	struct place at = {0};
	begin(&at, PLUGIN);
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), -1);
	assert_non_null(strstr(at.err.text, "config:4:32: the credential plugin '"));
	assert_non_null(strstr(at.err.text, "is not there"));
	assert_null(strstr(at.err.text, "does not answer"));
	end(&at);
}

static void a_server_that_is_not_trusted_is_not_asked_again(void **state)
{
	struct place at = {0};
	struct crypto_identity other;
	assert_int_equal(crypto_identity_make(&other, NULL), 0);
	begin(&at, "token: abc");
	put(&at, "ca.crt", other.cert, 0644);
	double before = clock_mono();
	assert_int_equal(api_server_do(at.api, "GET", "/x", NULL, NULL, &at.err), -1);
	assert_true(clock_mono() - before < 20);
	assert_non_null(strstr(at.err.text, "does not answer: the certificate of 'muster.test' is not trusted"));
	assert_int_equal(api_server_requests(at.api), 1);
	crypto_identity_fini(&other);
	end(&at);
}

enum { THREADS = 8, EACH = 6 };

static void *ask_often(void *data)
{
	struct place *at = data;
	size_t good = 0;
	for (int i = 0; i < EACH; i++)
		good += api_server_do(at->api, "GET", "/x", NULL, NULL, NULL) == 0;
	return (void *)good;
}

// One of them meets a token that is not good any more; the others may use the old one until then.
static void many_threads_ask_at_once(void **state)
{
	struct place at = {0};
	pthread_t threads[THREADS];
	for (int i = 0; i <= THREADS * EACH; i++)
		if (i == THREADS * EACH / 2)
			will_answer(&at, UNAUTHORIZED);
		else
			will_answer(&at, "200 OK", "", "{}");
	begin(&at, PLUGIN);
	put(&at, "login", counter, 0755);
	put(&at, "more", "", 0644);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &at), 0);
	size_t good = 0;
	for (int i = 0; i < THREADS; i++) {
		void *result;
		pthread_join(threads[i], &result);
		good += (size_t)result;
	}
	assert_int_equal(good, THREADS * EACH);
	assert_int_equal(api_server_requests(at.api), THREADS * EACH + 1);
	bool first = false, second = false;
	for (size_t i = 0; scripted_server_request(at.server, i); i++) {
		first = first || has_field(&at, i, "Bearer run-1\r\n");
		second = second || has_field(&at, i, "Bearer run-2\r\n");
		assert_false(has_field(&at, i, "Bearer run-3\r\n")); // one run for all
	}
	assert_true(first && second);
	end(&at);
}

// --- watches -----------------------------------------------------------------------

static int hear(const json_t *line, void *data, struct error *err)
{
	struct str *heard = data;
	str_printf(heard, "%s ", json_text_or(line, "type", "?"));
	return json_is(line, "type", "STOP") ? error_set(err, ERROR_SYSTEM, "stopped by the reader") : 0;
}

static void a_watch_hears_line_by_line(void **state)
{
	struct place at = {0};
	autostr struct str heard = {0};
	will_say(&at,
		mem_strdup(
			"HTTP/1.1 200 OK\r\n" JSON_HEAD "13\r\n{\"type\":\"ADDED\"}\n{\"\r\nF\r\ntype\":\"DELETED\"\r\n"
			"2\r\n}\n\r\n0\r\n\r\n"),
		false);
	will_say(
		&at, mem_strdup("HTTP/1.1 200 OK\r\n" JSON_HEAD "11\r\n{\"type\":\"ADDED\"}\n\r\n"), true); // it breaks
	will_say(&at,
		mem_strdup("HTTP/1.1 200 OK\r\n" JSON_HEAD "21\r\n{\"type\":\"STOP\"}\n{\"type\":\"ADDED\"}\n\r\n"),
		false);
	will_answer(&at, "403 Forbidden", "", FAILURE("403", "Forbidden", "no watching"));
	begin(&at, "token: abc");
	struct api_server_ask watch = {.method = "GET", .path = "/w", .on_line = hear, .data = &heard, .once = true};
	if (api_server_ask(at.api, &watch, NULL, &at.err) != 200)
		fail_msg("%s", at.err.text);
	assert_string_equal(heard.text, "ADDED DELETED ");
	heard.len = 0;
	assert_int_equal(api_server_ask(at.api, &watch, NULL, &at.err), -1);
	assert_string_equal(heard.text, "ADDED ");
	heard.len = 0;
	assert_int_equal(api_server_ask(at.api, &watch, NULL, &at.err), -1);
	assert_string_equal(heard.text, "STOP ");
	assert_string_equal(at.err.text, "stopped by the reader");
	assert_int_equal(api_server_ask(at.api, &watch, NULL, &at.err), 403);
	assert_string_equal(at.err.text, "the API server says: no watching");
	end(&at);
}

// --- WebSockets ----------------------------------------------------------------------

#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

static void refuse_websocket(struct place *at, const char *why)
{
	char *protocol = NULL;
	at->err = (struct error){0};
	assert_null(api_server_websocket(
		at->api, "/exec", "v5.channel.k8s.io, v4.channel.k8s.io", NULL, &protocol, &at->err));
	assert_null(protocol);
	if (!strstr(at->err.text, why))
		fail_msg("'%s' does not say '%s'", at->err.text, why);
}

static void a_websocket_is_opened(void **state)
{
	struct place at = {0};
	char *protocol = NULL, bytes[6] = {0};
	will_say(&at,
		mem_strdup(SWITCH
			"Sec-WebSocket-Accept: @ACCEPT@\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\nfirst"),
		false);
	will_say(&at,
		mem_strdup(SWITCH "Sec-WebSocket-Accept: AAAA\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"),
		true);
	will_say(&at, mem_strdup(SWITCH "Sec-WebSocket-Accept: @ACCEPT@\r\nSec-WebSocket-Protocol: other\r\n\r\n"),
		true);
	will_say(&at, mem_strdup(SWITCH "Sec-WebSocket-Accept: @ACCEPT@\r\n\r\n"), true);
	will_answer(&at, "400 Bad Request", "", FAILURE("400", "BadRequest", "Upgrade request required"));
	will_answer(&at, "200 OK", "", "<html>");
	will_say(&at, mem_strdup("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n"), true);
	will_answer(&at, "403 Forbidden", "", FAILURE("403", "Forbidden", "cannot create resource \\\"pods/exec\\\""));
	will_answer(&at, "500 Internal Server Error", "", FAILURE("500", "InternalError", "dial tcp: i/o timeout"));
	begin(&at, "token: abc");
	struct http_stream *stream = api_server_websocket(
		at.api, "/exec?x=1", "v5.channel.k8s.io, v4.channel.k8s.io", NULL, &protocol, &at.err);
	if (!stream)
		fail_msg("%s", at.err.text);
	assert_string_equal(protocol, "v4.channel.k8s.io");
	for (size_t have = 0; have < 5;) {
		ssize_t n = http_stream_read(stream, bytes + have, 5 - have);
		assert_true(n > 0);
		have += (size_t)n;
	}
	assert_string_equal(bytes, "first");
	http_stream_close(stream);
	free(protocol);
	assert_true(str_starts(scripted_server_request(at.server, 0), "GET /prefix/exec?x=1 HTTP/1.1\r\n"));
	assert_true(has_field(&at, 0, "\r\nUpgrade: websocket\r\n") &&
		    has_field(&at, 0, "\r\nSec-WebSocket-Version: 13\r\n"));
	assert_true(has_field(&at, 0, "\r\nSec-WebSocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io\r\n"));
	assert_true(has_field(&at, 0, "\r\nAuthorization: Bearer abc\r\n"));
	refuse_websocket(&at, "does not speak WebSocket");
	refuse_websocket(&at, "chose the protocol 'other'");
	refuse_websocket(&at, "chose the protocol ''");
	refuse_websocket(&at, "a proxy between here and the API server");
	refuse_websocket(&at, "a proxy between here and the API server");
	refuse_websocket(&at, "speaks none of v5.channel.k8s.io");
	refuse_websocket(&at, "the API server says: cannot create resource \"pods/exec\"");
	refuse_websocket(&at, "the API server says: dial tcp");
	end(&at);
}

static void a_websocket_is_given_up(void **state)
{
	struct place at = {0};
	atomic_bool cancelled = true;
	char *protocol = NULL;
	will_say(&at, mem_strdup(""), false);
	begin(&at, "token: abc");
	double before = clock_mono();
	assert_null(api_server_websocket(at.api, "/exec", "v5.channel.k8s.io", &cancelled, &protocol, &at.err));
	assert_int_equal(at.err.code, ERROR_CANCELLED);
	assert_true(clock_mono() - before < 20);
	end(&at);
}

// --- rights -------------------------------------------------------------------------

static void missing_rights_are_listed(void **state)
{
	struct place at = {0};
	for (int i = 0; i < 4; i++)
		will_answer(&at, "201 Created", "",
			i % 2 ? "{\"status\":{\"allowed\":false}}" : "{\"status\":{\"allowed\":true}}");
	will_answer(&at, "201 Created", "", "{\"status\":{\"allowed\":true}}");
	will_answer(&at, "201 Created", "", "{\"status\":{\"allowed\":true}}");
	will_answer(&at, "201 Created", "", "{\"status\":{}}");
	begin(&at, "token: abc");
	autojson json_t *missing = access_review_missing(at.api, "pods/exec", NULL, &at.err);
	autofree char *text = access_review_print(missing);
	assert_string_equal(text, "pods/exec (create)");
	autojson json_t *asked = json_loads(strstr(scripted_server_request(at.server, 1), "\r\n\r\n") + 4, 0, NULL);
	autojson json_t *want = mem_json("{s:s, s:s, s:{s:{s:s, s:s, s:s, s:s, s:s}}}", "kind",
		"SelfSubjectAccessReview", "apiVersion", "authorization.k8s.io/v1", "spec", "resourceAttributes",
		"namespace", "team", "verb", "create", "group", "", "resource", "pods", "subresource", "exec");
	assert_true(json_equal(asked, want));
	assert_int_equal(access_review_require(at.api, "pods/exec", NULL, &at.err), -1);
	assert_non_null(strstr(at.err.text, "in the namespace 'team' we have no right to pods/exec (create)"));
	assert_int_equal(access_review_require(at.api, "pods/exec", NULL, &at.err), 0);
	assert_null(access_review_missing(at.api, "pods/exec", NULL, &at.err));
	assert_non_null(strstr(at.err.text, "does not say whether we may get pods/exec"));
	end(&at);
}

static void on_retry(const char *why, void *data)
{
	size_t *count = data;
	assert_non_null(strstr(why, "does not answer, trying again: "));
	++*count;
}

static void one_that_is_not_there_is_tried_for_a_short_time(void **state)
{
	struct place at = {0};
	size_t count = 0;
	begin(&at, "token: abc");
	scripted_server_stop(steal(at.server));
	double begun = clock_mono();
	struct api_server_ask ask = {
		.method = "GET", .path = "/version", .first = true, .on_retry = on_retry, .data = &count};
	assert_int_equal(api_server_ask(at.api, &ask, NULL, &at.err), -1);
	assert_non_null(strstr(at.err.text, "does not answer: cannot connect to localhost"));
	assert_true(count > 1);
	assert_true(clock_mono() < begun + 20);
	end(&at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_asks_and_is_answered),
		cmocka_unit_test(what_it_refuses_is_said_in_its_words),
		cmocka_unit_test(one_that_is_not_there_is_tried_for_a_short_time),
		cmocka_unit_test(what_may_pass_is_asked_again),
		cmocka_unit_test(what_is_there_already_was_made),
		cmocka_unit_test(a_token_that_rotates_is_read_again),
		cmocka_unit_test(a_token_that_is_not_there_is_named),
		cmocka_unit_test(certificates_in_files_are_read_again),
		cmocka_unit_test(without_tls_no_credentials_are_shown),
		cmocka_unit_test(a_plugin_is_not_run_beside_other_credentials),
		cmocka_unit_test(a_plugin_is_run_again_when_it_is_time),
		cmocka_unit_test(a_plugin_that_fails_is_the_error),
		cmocka_unit_test(many_threads_ask_at_once),
		cmocka_unit_test(a_server_that_is_not_trusted_is_not_asked_again),
		cmocka_unit_test(a_watch_hears_line_by_line),
		cmocka_unit_test(a_websocket_is_opened),
		cmocka_unit_test(a_websocket_is_given_up),
		cmocka_unit_test(missing_rights_are_listed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
