#include "docker/engine.h"

#include "base/http.h"
#include "base/json.h"
#include "base/json_lines.h"
#include "base/mem.h"
#include "base/str.h"
#include "docker/hijacked_stream.h"

#include <stdlib.h>
#include <string.h>

#define SOCKET "/var/run/docker.sock"
#define VERSION "1.41" // of the API: what is asked for here is in it

struct engine {
	struct http_service service;
	struct crypto_tls_options tls;
	char *place, *socket, *host, *bundle, *cert, *key;
	char *version;
	char api[16];
};

bool engine_is_named(void)
{
	const char *named = getenv("DOCKER_HOST");
	return named && *named;
}

bool engine_is_local(const struct engine *e)
{
	return e->socket != NULL;
}

const char *engine_place(const struct engine *e)
{
	return e->place;
}

const char *engine_version(const struct engine *e)
{
	return e->version;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	free(e->place);
	free(e->socket);
	free(e->host);
	free(e->bundle);
	free(e->cert);
	free(e->key);
	free(e->version);
	free(e);
}

// --- where it is ------------------------------------------------------------

static int use_keys(struct engine *e)
{
	const char *verify = getenv("DOCKER_TLS_VERIFY"), *dir = getenv("DOCKER_CERT_PATH"), *home = getenv("HOME");
	if (!verify || !*verify)
		return 0;
	autofree char *where = dir && *dir ? mem_strdup(dir) : mem_printf("%s/.docker", home ? home : "");
	e->bundle = mem_printf("%s/ca.pem", where);
	e->cert = mem_printf("%s/cert.pem", where);
	e->key = mem_printf("%s/key.pem", where);
	return 1;
}

// "tcp://host:port", the host of an IPv6 address in brackets.
static int use_tcp(struct engine *e, const char *text, struct error *err)
{
	bool tls = use_keys(e);
	bool v6 = *text == '[';
	size_t len = v6 ? strcspn(++text, "]") : strcspn(text, ":/");
	const char *rest = text + len + (v6 && text[len]);
	e->host = mem_strndup(text, len);
	char *end = (char *)rest;
	long port = *rest == ':' ? strtol(rest + 1, &end, 10) : tls ? 2376 : 2375;
	if (!len || (*end && strcmp(end, "/") != 0) || port < 1 || port > 65535)
		return error_set(err, ERROR_USAGE, "found '%s' in DOCKER_HOST, expected tcp://HOST:PORT", e->place);
	e->service.port = (int)port;
	return 0;
}

static int use_place(struct engine *e, struct error *err)
{
	if (str_starts(e->place, "unix://"))
		e->socket = mem_strdup(e->place[7] ? e->place + 7 : SOCKET);
	else if (!str_starts(e->place, "tcp://"))
		return error_set(err, ERROR_USAGE, "found '%s' in DOCKER_HOST, expected unix://PATH or tcp://HOST:PORT",
			e->place);
	else if (use_tcp(e, e->place + 6, err))
		return -1;
	e->service.socket = e->socket;
	e->service.host = e->host;
	e->tls = (struct crypto_tls_options){.bundle = e->bundle, .cert = e->cert, .key = e->key};
	e->service.tls = e->bundle ? &e->tls : NULL;
	return 0;
}

// --- requests ---------------------------------------------------------------

static int on_pieces(const char *bytes, size_t len, void *data, struct error *err)
{
	return json_lines_add(data, bytes, len, err);
}

// What the engine says about a status that says no.
static void complain(int status, const struct str *text, struct error *err)
{
	autojson json_t *body = text->len ? json_loadb(text->text, text->len, 0, NULL) : NULL;
	const char *why = json_string_value(json_object_get(body, "message"));
	if (why)
		error_set(err, ERROR_SYSTEM, "the engine says: %.600s", why);
	else
		error_set(err, ERROR_SYSTEM, "the engine answers with status %d: %.200s", status,
			text->len ? text->text : "");
}

static int request(struct engine *e, const struct engine_ask *ask, bool upgrade, struct str *text,
	struct http_stream **stream, struct error *err)
{
	autofree char *path = *e->api ? mem_printf("/v%s%s", e->api, ask->path) : mem_strdup(ask->path);
	autofree char *body = ask->body ? json_dumps(ask->body, JSON_COMPACT) : NULL;
	struct json_lines lines = {.on_line = ask->on_line, .data = ask->data};
	struct http_request r = {
		.method = ask->method,
		.path = path,
		.type = body        ? "application/json"
			: ask->file ? "application/x-tar"
				    : NULL,
		.body = body,
		.len = body ? strlen(body) : 0,
		.file = ask->file,
		.idle = ask->idle,
		.cancelled = ask->cancelled,
		.upgrade = upgrade ? "tcp" : NULL,
		.on_body = ask->on_line ? on_pieces : NULL,
		.data = &lines,
	};
	int status = http_call(&e->service, &r, text, stream, err);
	if (status > 0 && status < 300 && json_lines_end(&lines, err))
		status = -1;
	json_lines_fini(&lines);
	if (status >= 400)
		complain(status, text, err);
	else if (status < 0 && !lines.refused && (!err || err->code != ERROR_CANCELLED))
		error_wrap(err, "the Docker engine at %s does not answer", e->place);
	return status;
}

int engine_ask(struct engine *e, const struct engine_ask *ask, json_t **answer, struct error *err)
{
	autostr struct str text = {0};
	if (answer)
		*answer = NULL;
	int status = request(e, ask, false, &text, NULL, err);
	if (status < 0 || status >= 400 || !answer || !text.len)
		return status;
	*answer = json_loadb(text.text, text.len, JSON_DECODE_ANY, NULL);
	return *answer ? status
		       : error_set(
				 err, ERROR_SYSTEM, "the engine's answer to %s %s is no JSON", ask->method, ask->path);
}

int engine_do(
	struct engine *e, const char *method, const char *path, const json_t *body, json_t **answer, struct error *err)
{
	int status = engine_ask(e, &(struct engine_ask){.method = method, .path = path, .body = body}, answer, err);
	return status < 0 || status >= 400 ? -1 : 0;
}

// --- opening ----------------------------------------------------------------

static int older(const char *a, const char *b)
{
	int major[2] = {0}, minor[2] = {0};
	sscanf(a, "%d.%d", &major[0], &minor[0]);
	sscanf(b, "%d.%d", &major[1], &minor[1]);
	return major[0] != major[1] ? major[0] < major[1] : minor[0] < minor[1];
}

static int meet(struct engine *e, struct error *err)
{
	autojson json_t *said = NULL;
	if (engine_do(e, "GET", "/version", NULL, &said, err))
		return -1;
	const char *newest = json_text_or(said, "ApiVersion", ""), *oldest = json_text_or(said, "MinAPIVersion", "");
	if (!*newest)
		return error_set(err, ERROR_SYSTEM, "what answers at %s is no Docker engine", e->place);
	const char *use = *oldest && older(VERSION, oldest) ? oldest : older(newest, VERSION) ? newest : VERSION;
	snprintf(e->api, sizeof e->api, "%s", use);
	e->version = mem_strdup(json_text_or(said, "Version", ""));
	return 0;
}

struct engine *engine_open(struct error *err)
{
	const char *named = getenv("DOCKER_HOST");
	struct engine *e = mem_alloc(sizeof *e);
	e->place = mem_strdup(engine_is_named() ? named : "unix://" SOCKET);
	if (!use_place(e, err) && !meet(e, err))
		return e;
	engine_free(e);
	return NULL;
}

// --- exec -------------------------------------------------------------------

int engine_exec(struct engine *e, const char *container, const json_t *argv, struct error *err)
{
	autofree char *create = mem_printf("/containers/%s/exec", container);
	autojson json_t *wanted =
		mem_json("{s:b, s:b, s:b, s:O}", "AttachStdin", 1, "AttachStdout", 1, "AttachStderr", 1, "Cmd", argv);
	autojson json_t *made = NULL;
	if (engine_do(e, "POST", create, wanted, &made, err))
		return -1;
	autofree char *start = mem_printf("/exec/%s/start", json_text_or(made, "Id", ""));
	autojson json_t *how = mem_json("{s:b, s:b}", "Detach", 0, "Tty", 0);
	autostr struct str text = {0};
	struct http_stream *stream = NULL;
	int status = request(
		e, &(struct engine_ask){.method = "POST", .path = start, .body = how}, true, &text, &stream, err);
	return status < 0 || status >= 400 ? -1 : hijacked_stream_start(stream, err);
}
