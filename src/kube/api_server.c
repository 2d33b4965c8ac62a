#include "kube/api_server.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/http_pool.h"
#include "base/json.h"
#include "base/json_lines.h"
#include "base/mem.h"
#include "base/proxy.h"
#include "base/str.h"
#include "base/url.h"
#include "kube/kubeconfig.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const double patience = 30, // seconds for which a request is tried again
	refusal = 5,               // and for which one that nobody has heard of may refuse a connection
	first_pause = 0.25, longest_pause = 5;

enum { TOKEN_MAX = 1 << 20 };

static atomic_size_t all_requests;

struct api_server {
	struct kubeconfig config;
	struct url url;
	char *prefix; // of the server's path, without a '/' at its end
	struct proxy proxy;
	bool proxied;
	struct http_pool *pool;
	atomic_size_t requests;
	pthread_mutex_t lock;
	struct credential credential; // what the plugin gave
	bool asked;                   // the plugin
	unsigned renewals;
	char *token; // what could last be read from the file
};

// --- opening ----------------------------------------------------------------

static int use_proxy(struct api_server *s, struct error *err)
{
	const char *named = s->config.proxy ? s->config.proxy : proxy_find(s->url.tls, s->url.host, s->url.port);
	if (!named)
		return 0;
	s->proxied = true;
	return proxy_parse(named, &s->proxy, err);
}

struct api_server *api_server_open(const char *context, const char *namespace, struct error *err)
{
	struct api_server *s = mem_alloc(sizeof *s);
	pthread_mutex_init(&s->lock, NULL);
	s->pool = http_pool_new();
	if (kubeconfig_load(context, namespace, &s->config, err) == 0 &&
		url_parse(s->config.server, &s->url, err) == 0 && use_proxy(s, err) == 0) {
		size_t len = strcspn(s->url.path, "?");
		while (len > 0 && s->url.path[len - 1] == '/')
			len--;
		s->prefix = mem_strndup(s->url.path, len);
		return s;
	}
	api_server_free(s);
	return NULL;
}

void api_server_free(struct api_server *s)
{
	if (!s)
		return;
	http_pool_free(s->pool);
	credential_plugin_forget(&s->credential);
	crypto_wipe(s->token);
	kubeconfig_fini(&s->config);
	url_fini(&s->url);
	proxy_fini(&s->proxy);
	free(s->prefix);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

bool api_server_is_configured(void)
{
	return kubeconfig_is_there();
}

const char *api_server_namespace(const struct api_server *s)
{
	return s->config.namespace;
}

const char *api_server_context(const struct api_server *s)
{
	return s->config.context;
}

const char *api_server_url(const struct api_server *s)
{
	return s->config.server;
}

const char *api_server_source(const struct api_server *s)
{
	return s->config.source;
}

bool api_server_in_cluster(const struct api_server *s)
{
	return s->config.in_cluster;
}

size_t api_server_requests(const struct api_server *s)
{
	return s->requests;
}

size_t api_server_all_requests(void)
{
	return all_requests;
}

// --- who we are ---------------------------------------------------------------

// What a request shows. The texts are its own.
struct identity {
	char *fields;      // of the header
	char *cert, *key;  // PEM from a plugin; NULL: those of the configuration
	unsigned renewals; // how often it had been renewed
};

static void forget(struct identity *who)
{
	crypto_wipe(who->fields);
	crypto_wipe(who->cert);
	crypto_wipe(who->key);
	*who = (struct identity){0};
}

static bool is_token(const char *text)
{
	for (; *text > ' ' && *text < 0x7f; text++)
		;
	return *text == '\0';
}

// The token of a pod is replaced before it expires: it is read each time. One that cannot be read now was good before.
static int read_token(struct api_server *s, struct error *err)
{
	struct error why = {0};
	char *text = fs_read(s->config.token_file, TOKEN_MAX, NULL, &why);
	if (text) {
		text[strcspn(text, " \t\r\n")] = '\0';
		if (*text && is_token(text)) {
			crypto_wipe(s->token);
			s->token = text;
			return 0;
		}
		crypto_wipe(text);
		error_set(&why, ERROR_USAGE, "the file '%s' holds no token", s->config.token_file);
	}
	if (s->token)
		return 0;
	if (s->config.token)
		s->token = mem_strdup(s->config.token);
	else if (err)
		*err = why;
	return s->token ? 0 : -1;
}

static int ask_plugin(struct api_server *s, const atomic_bool *cancelled, struct error *err)
{
	bool old = s->credential.expires > 0 && clock_wall() >= s->credential.expires;
	if (s->asked && !old)
		return 0;
	struct credential fresh;
	if (credential_plugin_run(s->config.plugin, cancelled, &fresh, err) < 0)
		return -1;
	if (s->asked)
		http_pool_clear(s->pool);
	credential_plugin_forget(&s->credential);
	s->credential = fresh;
	s->asked = true;
	return 0;
}

// As kubectl has it: a plugin is asked only where the configuration has nothing else to show.
static bool uses_plugin(const struct kubeconfig *c)
{
	return c->plugin && !c->token && !c->token_file && !c->user && !c->cert && !c->cert_text;
}

static char *copy(const char *text)
{
	return text ? mem_strdup(text) : NULL;
}

static int add_authorization(
	struct api_server *s, struct identity *who, const atomic_bool *cancelled, struct str *fields, struct error *err)
{
	const struct kubeconfig *c = &s->config;
	const char *token = c->token;
	if (c->token_file) {
		if (read_token(s, err) < 0)
			return -1;
		token = s->token;
	}
	if (uses_plugin(c)) {
		if (ask_plugin(s, cancelled, err) < 0)
			return -1;
		token = s->credential.token;
		who->cert = copy(s->credential.cert);
		who->key = copy(s->credential.key);
	}
	if (token) {
		str_printf(fields, "Authorization: Bearer %s\r\n", token);
	} else if (c->user) {
		autofree char *both = mem_printf("%s:%s", c->user, c->password ? c->password : "");
		autofree char *secret = crypto_base64(both, strlen(both));
		str_printf(fields, "Authorization: Basic %s\r\n", secret);
	}
	return 0;
}

// Without TLS nothing secret is shown, as kubectl has it: everybody on the way would read it.
static int identify_locked(struct api_server *s, struct identity *who, const atomic_bool *cancelled, struct error *err)
{
	autostr struct str fields = {0};
	if (s->url.tls && add_authorization(s, who, cancelled, &fields, err) < 0)
		return -1;
	str_puts(&fields, s->config.impersonation);
	who->fields = str_steal(&fields);
	who->renewals = s->renewals;
	return 0;
}

static int identify(struct api_server *s, struct identity *who, const atomic_bool *cancelled, struct error *err)
{
	*who = (struct identity){0};
	pthread_mutex_lock(&s->lock);
	int rc = identify_locked(s, who, cancelled, err);
	pthread_mutex_unlock(&s->lock);
	if (rc < 0)
		forget(who);
	return rc;
}

// What this identity showed was refused: the plugin is to be asked again, files are read again for a new connection.
static void renew(struct api_server *s, const struct identity *who)
{
	pthread_mutex_lock(&s->lock);
	if (s->renewals == who->renewals) { // else another request has done it since
		s->renewals++;
		s->asked = false;
		http_pool_clear(s->pool);
	}
	pthread_mutex_unlock(&s->lock);
}

// --- one request ----------------------------------------------------------------

// What is known of an answer.
struct reply {
	int status; // -1: there was none
	struct str text;
	struct http_stream *stream;
	bool sent;               // it got as far as the network
	bool hopeless;           // it makes no sense to ask again
	bool heard;              // lines were handed on
	double retry_after;      // seconds; 0: the server has not said
	char *accept, *protocol; // of a WebSocket
	json_t *warnings;        // may be NULL, not owned
	struct json_lines lines;
};

static void discard_reply(struct reply *r)
{
	str_fini(&r->text);
	http_stream_close(r->stream);
	free(r->accept);
	free(r->protocol);
	json_lines_fini(&r->lines);
	json_t *warnings = r->warnings;
	*r = (struct reply){.warnings = warnings};
}

// 299 - "text": a code, an agent, a quoted text (RFC 9111, section 5.5 of RFC 7234).
static char *warning_text(const char *value)
{
	const char *at = strchr(value, '"');
	if (!at)
		return mem_strdup(value);
	autostr struct str text = {0};
	for (at++; *at && *at != '"'; at++) {
		if (*at == '\\' && at[1])
			at++;
		str_add(&text, at, 1);
	}
	return str_utf8_clean(text.len ? text.text : "", text.len);
}

static void on_field(const char *name, const char *value, void *data)
{
	struct reply *r = data;
	if (strcasecmp(name, "retry-after") == 0) {
		char *end;
		double seconds = strtod(value, &end);
		r->retry_after = end > value && !*end && seconds > 0 && seconds < 1e6 ? seconds : 0;
	} else if (strcasecmp(name, "warning") == 0 && r->warnings) {
		autofree char *text = warning_text(value);
		json_array_append_new(r->warnings, json_string(text));
	} else if (strcasecmp(name, "sec-websocket-accept") == 0) {
		free(r->accept);
		r->accept = mem_strdup(value);
	} else if (strcasecmp(name, "sec-websocket-protocol") == 0) {
		free(r->protocol);
		r->protocol = mem_strdup(value);
	}
}

static int on_body(const char *bytes, size_t len, void *data, struct error *err)
{
	struct reply *r = data;
	r->heard = true;
	return json_lines_add(&r->lines, bytes, len, err);
}

static int describe_tls(
	const struct api_server *s, const struct identity *who, struct crypto_tls_options *tls, struct error *err)
{
	const struct kubeconfig *c = &s->config;
	bool system = !c->insecure && !c->bundle && !c->bundle_text;
	*tls = (struct crypto_tls_options){
		.host = c->server_name,
		.bundle = system ? http_stream_bundle(err) : c->bundle,
		.bundle_text = c->bundle_text,
		.unverified = c->insecure,
		.cert = c->cert,
		.cert_text = who->cert ? who->cert : c->cert_text,
		.key = c->key,
		.key_text = who->key ? who->key : c->key_text,
		.protocol = "http/1.1",
	};
	return system && !tls->bundle ? -1 : 0;
}

// Sends it once. fields: more of the header. -1 and err when there was no answer.
static int send_once(struct api_server *s, const struct identity *who, const struct api_server_ask *ask,
	const char *upgrade, const char *fields, struct reply *reply, struct error *err)
{
	struct crypto_tls_options tls;
	reply->hopeless = true;
	if (s->url.tls && describe_tls(s, who, &tls, err) < 0)
		return -1;
	struct http_service service = {.host = s->url.host,
		.port = s->url.port,
		.tls = s->url.tls ? &tls : NULL,
		.proxy = s->proxied ? &s->proxy : NULL,
		.pool = s->pool};
	autofree char *path = mem_printf("%s%s", s->prefix, ask->path);
	autofree char *body = ask->body ? json_dumps(ask->body, JSON_COMPACT) : NULL;
	autofree char *header = mem_printf("Accept: %s\r\n%s%s", ask->accept ? ask->accept : "application/json",
		who->fields, fields ? fields : "");
	reply->lines = (struct json_lines){.on_line = ask->on_line, .data = ask->data};
	struct http_request request = {
		.method = ask->method,
		.path = path,
		.type = !body       ? NULL
			: ask->type ? ask->type
				    : "application/json",
		.body = body,
		.len = body ? strlen(body) : 0,
		.idle = ask->idle,
		.cancelled = ask->cancelled,
		.upgrade = upgrade,
		.fields = header,
		.hopeless = &reply->hopeless,
		.on_field = on_field,
		.on_body = ask->on_line ? on_body : NULL,
		.data = reply,
	};
	s->requests++;
	all_requests++;
	reply->sent = true;
	int status = reply->status = http_call(&service, &request, &reply->text, &reply->stream, err);
	explicit_bzero(header, strlen(header));
	if (status > 0 && status < 300 && ask->on_line && json_lines_end(&reply->lines, err) < 0)
		status = reply->status = -1;
	return status < 0 ? -1 : 0;
}

// The same, and with new credentials when those were refused.
static int send_as_us(struct api_server *s, const struct api_server_ask *ask, const char *upgrade, const char *fields,
	struct reply *reply, struct error *err)
{
	for (int attempt = 0;; attempt++) {
		struct identity who;
		discard_reply(reply);
		reply->status = -1;
		reply->hopeless = true;
		if (identify(s, &who, ask->cancelled, err) < 0)
			return -1;
		int rc = send_once(s, &who, ask, upgrade, fields, reply, err);
		bool refused = rc == 0 && reply->status == 401 && attempt == 0;
		if (refused)
			renew(s, &who);
		forget(&who);
		if (!refused)
			return rc;
	}
}

// --- what went wrong ------------------------------------------------------------

static const char *as_whom(const struct api_server *s)
{
	const struct kubeconfig *c = &s->config;
	return !s->url.tls                 ? "a request by http, which shows no credentials,"
	       : uses_plugin(c)            ? "what the credential plugin gives"
	       : c->token || c->token_file ? "the token"
	       : c->cert || c->cert_text   ? "the client certificate"
	       : c->user                   ? "the user name and password"
					   : "a request without credentials";
}

// What somebody else says, in one line of at most so many bytes that does nothing to a terminal.
static char *one_line(const char *text, size_t len, size_t max)
{
	autofree char *clean = str_utf8_clean(text, len < 2000 ? len : 2000);
	for (char *at = clean; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = ' ';
	const char *start = clean + strspn(clean, " ");
	return mem_strndup(start, str_utf8_valid(start, strlen(start) < max ? strlen(start) : max));
}

// Of a body that is no Status: what a proxy writes, say.
static char *first_words(const struct str *text)
{
	return one_line(text->len ? text->text : "", text->len, 200);
}

// What to do about a request that is refused.
static const char *advise(const struct api_server *s, const struct reply *r, const char *why)
{
	const struct kubeconfig *c = &s->config;
	bool shown = s->url.tls && (uses_plugin(c) || c->token || c->token_file || c->cert || c->cert_text || c->user);
	if (r->status == 401)
		return shown ? "; it may have expired, or be another cluster's: get a new one" : "";
	if (r->status == 403 && strstr(why, " cannot ")) // by rights, rather than by a quota or a profile
		return "; `muster doctor` lists the rights that are missing, examples/kubernetes/role.yaml is the role "
		       "that a run needs";
	return "";
}

static void complain(const struct api_server *s, const struct reply *r, const json_t *body, struct error *err)
{
	const char *said = json_is(body, "kind", "Status") ? json_text_or(body, "message", "") : "";
	autofree char *why = one_line(said, strlen(said), r->status == 401 ? 200 : 800);
	if (r->status == 401) {
		error_set(err, ERROR_SYSTEM, "the API server %s does not accept %s of %s%s%s%s", s->config.server,
			as_whom(s), s->config.source, *why ? ": " : "", why, advise(s, r, why));
	} else if (*why) {
		error_set(err, ERROR_SYSTEM, "the API server says: %s%s", why, advise(s, r, why));
	} else {
		autofree char *words = first_words(&r->text);
		error_set(err, ERROR_SYSTEM, "the API server %s answers with status %d%s%s", s->config.server,
			r->status, *words ? ": " : "", words);
	}
}

static int no_answer(const struct api_server *s, const struct reply *r, struct error *err)
{
	if (err && err->code != ERROR_CANCELLED && r->sent && !r->lines.refused)
		error_wrap(err, "the API server %s does not answer", s->config.server);
	return -1;
}

// --- again and again --------------------------------------------------------------

static bool is_cancelled(const struct api_server_ask *ask)
{
	return ask->cancelled && *ask->cancelled;
}

static bool may_ask_again(const struct api_server_ask *ask, const struct reply *r, const struct error *err)
{
	if (ask->once || is_cancelled(ask) || r->heard)
		return false;
	if (r->status < 0)
		return !r->hopeless && err->code != ERROR_CANCELLED;
	return r->status == 429 || r->status >= 500;
}

// Waits before the next try: what the server has said, at least a random part of a time that doubles. False: there is
// no time left, or it was cancelled.
static bool wait_for_next(const struct api_server_ask *ask, const struct reply *r, int attempt, double end)
{
	double pause = first_pause * (1 << (attempt < 10 ? attempt : 10));
	unsigned char random;
	crypto_random(&random, 1);
	pause = (pause < longest_pause ? pause : longest_pause) * (0.5 + random / 512.0);
	if (pause < r->retry_after)
		pause = r->retry_after;
	double until = clock_mono() + pause;
	if (until > end)
		return false;
	for (double left; (left = until - clock_mono()) > 0 && !is_cancelled(ask);)
		poll(NULL, 0, (int)((left < 0.2 ? left : 0.2) * 1000) + 1);
	return !is_cancelled(ask);
}

static int take_answer(const struct api_server *s, const struct api_server_ask *ask, const struct reply *r,
	json_t **answer, struct error *err)
{
	autojson json_t *body = r->text.len ? json_loadb(r->text.text, r->text.len, JSON_DECODE_ANY, NULL) : NULL;
	if (r->status >= 400)
		complain(s, r, body, err);
	else if (r->status >= 300)
		return error_set(err, ERROR_SYSTEM,
			"the API server %s sends us elsewhere (status %d), expected an answer", s->config.server,
			r->status);
	else if (r->text.len && !body && answer)
		return error_set(err, ERROR_SYSTEM, "the answer of the API server %s to %s %.200s is no JSON",
			s->config.server, ask->method, ask->path);
	if (answer)
		*answer = steal(body);
	return r->status;
}

// Is there to be another try? Says so, and waits for it.
static bool try_again(const struct api_server *s, const struct api_server_ask *ask, struct reply *r, int attempt,
	double begun, struct error *why)
{
	bool refused = r->status < 0 && strstr(why->text, strerror(ECONNREFUSED));
	if (!may_ask_again(ask, r, why))
		return false;
	if (ask->on_retry) {
		autofree char *text = r->status < 0
					      ? mem_printf("the API server %s does not answer, trying again: %s",
							s->config.server, why->text)
					      : mem_printf("the API server %s answers with status %d, trying again",
							s->config.server, r->status);
		ask->on_retry(text, ask->data);
	}
	return wait_for_next(ask, r, attempt, begun + (ask->first && refused ? refusal : patience));
}

int api_server_ask(struct api_server *s, const struct api_server_ask *ask, json_t **answer, struct error *err)
{
	double begun = clock_mono();
	struct reply reply = {.warnings = ask->warnings};
	struct error why = {0};
	if (answer)
		*answer = NULL;
	for (int attempt = 0;; attempt++) {
		why = (struct error){0};
		send_as_us(s, ask, NULL, NULL, &reply, &why);
		if (!try_again(s, ask, &reply, attempt, begun, &why))
			break;
	}
	int status = reply.status < 0 ? no_answer(s, &reply, &why) : take_answer(s, ask, &reply, answer, &why);
	if ((status < 0 || status >= 400) && err)
		*err = why;
	discard_reply(&reply);
	return status;
}

int api_server_do(struct api_server *s, const char *method, const char *path, const json_t *body, json_t **answer,
	struct error *err)
{
	autojson json_t *said = NULL;
	int status =
		api_server_ask(s, &(struct api_server_ask){.method = method, .path = path, .body = body}, &said, err);
	if (answer)
		*answer = status < 0 || status >= 400 ? NULL : steal(said);
	return status < 0 || status >= 400 ? -1 : 0;
}

int api_server_create(struct api_server *s, const char *path, const json_t *body, json_t **answer, struct error *err)
{
	autojson json_t *said = NULL;
	int status =
		api_server_ask(s, &(struct api_server_ask){.method = "POST", .path = path, .body = body}, &said, err);
	if (answer)
		*answer = NULL;
	if (status == 409 && json_is(said, "reason", "AlreadyExists"))
		return 1;
	if (status < 0 || status >= 400)
		return -1;
	if (answer)
		*answer = steal(said);
	return 0;
}

// --- WebSockets -------------------------------------------------------------------

static bool is_offered(const char *protocols, const char *one)
{
	size_t len = strlen(one);
	for (const char *at = protocols; *at;) {
		at += strspn(at, ", ");
		size_t have = strcspn(at, ", ");
		if (have == len && strncmp(at, one, len) == 0)
			return true;
		at += have;
	}
	return false;
}

// Who answers a wish to upgrade with a good answer of HTTP, or has not heard of the wish, is behind somebody who has
// dropped it.
static int say_dropped(const struct api_server *s, const struct reply *r, struct error *err)
{
	autofree char *words = first_words(&r->text);
	return error_set(err, ERROR_SYSTEM,
		"a proxy between here and the API server %s drops the upgrade to WebSocket (status %d, expected "
		"101)%s%s",
		s->config.server, r->status, *words ? ": " : "", words);
}

static int check_upgrade(
	const struct api_server *s, const struct reply *r, const char *key, const char *protocols, struct error *err)
{
	autojson json_t *body = r->text.len ? json_loadb(r->text.text, r->text.len, 0, NULL) : NULL;
	const char *message = json_text_or(body, "message", "");
	autofree char *accept = crypto_websocket_accept(key);
	if (r->status < 400 && r->status != 101)
		return say_dropped(s, r, err);
	if (r->status == 400 && strstr(message, "pgrade"))
		return say_dropped(s, r, err);
	if (r->status == 403 && !r->text.len)
		return error_set(err, ERROR_SYSTEM, "the API server %s speaks none of %s", s->config.server, protocols);
	if (r->status != 101) {
		complain(s, r, body, err);
		return -1;
	}
	if (!r->accept || strcmp(r->accept, accept) != 0)
		return error_set(err, ERROR_SYSTEM, "what answers at %s does not speak WebSocket", s->config.server);
	if (!r->protocol || !is_offered(protocols, r->protocol))
		return error_set(err, ERROR_SYSTEM, "the API server %s chose the protocol '%.60s', expected one of %s",
			s->config.server, r->protocol ? r->protocol : "", protocols);
	return 0;
}

struct http_stream *api_server_websocket(struct api_server *s, const char *path, const char *protocols,
	const atomic_bool *cancelled, char **protocol, struct error *err)
{
	unsigned char random[16];
	crypto_random(random, sizeof random);
	autofree char *key = crypto_base64(random, sizeof random);
	autofree char *fields = mem_printf(
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\n", key, protocols);
	struct api_server_ask ask = {.method = "GET", .path = path, .accept = "*/*", .cancelled = cancelled};
	struct reply reply = {0};
	struct http_stream *stream = NULL;
	int rc = send_as_us(s, &ask, "websocket", fields, &reply, err);
	if (rc < 0)
		no_answer(s, &reply, err);
	else if (check_upgrade(s, &reply, key, protocols, err) == 0) {
		*protocol = steal(reply.protocol);
		stream = steal(reply.stream);
	}
	discard_reply(&reply);
	return stream;
}
