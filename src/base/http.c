#include "base/http.h"

#include "base/fs.h"
#include "base/http_pool.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/url.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	REDIRECTS = 10,
	IDLE = 30,
	INTERIM_MAX = 1000, // answers with a status 1xx before the real one; one that tells of progress comes often
};

// --- redirects --------------------------------------------------------------

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Where a redirect from url leads; NULL when it may not be followed.
static char *follow(const char *url, const struct url *from, const char *location, struct error *err)
{
	autofree char *next = url_resolve(from, location);
	if (from->tls && strncasecmp(next, "http:", 5) == 0) {
		error_set(err, ERROR_SYSTEM, "'%s' redirects from https to '%s'", url, next);
		return NULL;
	}
	return steal(next);
}

// --- the answer -------------------------------------------------------------

// What the header says.
struct answer {
	int status;
	char *location;
	bool sized, chunked, closes;
	uint64_t length;
	void (*on_field)(const char *name, const char *value, void *data); // may be NULL
	void *data;
};

// Where the body goes.
struct sink {
	int (*put)(struct sink *sink, const char *bytes, size_t len, struct error *err);
	int fd;
	const struct http_options *options;
	const struct http_request *request;
	struct str *text;
	uint64_t bytes, total;
};

// The size of a chunk may be followed by extensions, which nobody uses.
static int parse_number(const char *text, int base, uint64_t *value)
{
	size_t digits = strspn(text, base == 16 ? "0123456789abcdefABCDEF" : "0123456789");
	const char *rest = text + digits + strspn(text + digits, " \t");
	errno = 0;
	*value = strtoull(text, NULL, base);
	return digits == 0 || (*rest && !(base == 16 && *rest == ';')) || errno || *value > INT64_MAX ? -1 : 0;
}

static void trim_end(char *text)
{
	size_t len = strlen(text);
	while (len > 0 && strchr(" \t", text[len - 1]))
		text[--len] = '\0';
}

static int take_header(struct answer *a, char *line, struct error *err)
{
	char *value = strchr(line, ':');
	if (!value)
		return error_set(err, ERROR_SYSTEM, "the answer has a header line without ':'");
	*value++ = '\0';
	value += strspn(value, " \t");
	trim_end(line);
	trim_end(value);
	if (strcasecmp(line, "content-length") == 0) {
		uint64_t length;
		if (parse_number(value, 10, &length) < 0 || (a->sized && a->length != length))
			return error_set(err, ERROR_SYSTEM, "the answer has the content-length '%.40s'", value);
		a->sized = true;
		a->length = length;
	} else if (strcasecmp(line, "transfer-encoding") == 0) {
		if (strcasecmp(value, "chunked") != 0)
			return error_set(err, ERROR_SYSTEM,
				"the answer has the transfer-encoding '%.40s', expected chunked", value);
		a->chunked = true;
	} else if (strcasecmp(line, "location") == 0) {
		free(a->location);
		a->location = mem_strdup(value);
	} else if (strcasecmp(line, "connection") == 0) {
		a->closes = a->closes || strcasecmp(value, "close") == 0;
	}
	if (a->on_field && (a->status >= 200 || a->status == 101))
		a->on_field(line, value, a->data);
	return 0;
}

static int read_status(struct http_stream *s, size_t *left, struct answer *a, struct error *err)
{
	autofree char *line = http_stream_line(s, left, err);
	if (!line)
		return -1;
	const char *digits = line + strlen("HTTP/1.x ");
	bool ours = str_starts(line, "HTTP/1.0 ") || str_starts(line, "HTTP/1.1 ");
	if (!ours || strspn(digits, "0123456789") != 3 || (digits[3] && digits[3] != ' ') || *digits == '0')
		return error_set(err, ERROR_SYSTEM, "the answer is not HTTP");
	a->status = atoi(digits);
	a->closes = str_starts(line, "HTTP/1.0 ");
	return 0;
}

// Up to the empty line. A line that begins with a blank continues the one before.
static int read_fields(struct http_stream *s, struct answer *a, size_t *left, struct error *err)
{
	autostr struct str field = {0};
	for (;;) {
		autofree char *line = http_stream_line(s, left, err);
		if (!line)
			return -1;
		bool continues = field.len > 0 && (*line == ' ' || *line == '\t');
		if (!continues && field.len > 0) {
			if (take_header(a, field.text, err) < 0)
				return -1;
			field.len = 0;
		}
		if (!*line)
			return 0;
		str_puts(&field, line);
	}
}

// 1xx only announce the real answer and say nothing about it, but for the change of protocol.
static int read_header(struct http_stream *s, struct answer *a, struct error *err)
{
	for (int i = 0; i <= INTERIM_MAX; i++) {
		size_t left = HTTP_STREAM_LINES_MAX;
		free(a->location);
		*a = (struct answer){.on_field = a->on_field, .data = a->data};
		if (read_status(s, &left, a, err) < 0 || read_fields(s, a, &left, err) < 0)
			return -1;
		if (a->status >= 200 || a->status == 101)
			return 0;
	}
	return error_set(
		err, ERROR_SYSTEM, "more than %d interim answers (1xx) came, expected a final one", INTERIM_MAX);
}

// Moves len bytes of the body on; UINT64_MAX: until the end of the connection.
static int move(struct http_stream *s, struct sink *sink, uint64_t len, struct error *err)
{
	bool endless = len == UINT64_MAX;
	while (len > 0) {
		int rc = s->at < s->end ? 1 : http_stream_fill(s, err);
		if (rc == 0 && endless)
			return 0;
		if (rc == 0 && sink->total > 0)
			return error_set(err, ERROR_SYSTEM, "it ended after %llu of %llu bytes",
				(unsigned long long)sink->bytes, (unsigned long long)sink->total);
		if (rc == 0)
			return error_set(
				err, ERROR_SYSTEM, "it ended early, after %llu bytes", (unsigned long long)sink->bytes);
		if (rc < 0)
			return -1;
		size_t n = s->end - s->at;
		if (n > len)
			n = (size_t)len;
		sink->bytes += n;
		if (sink->put(sink, s->bytes + s->at, n, err) < 0)
			return -1;
		s->at += n;
		if (!endless)
			len -= n;
	}
	return 0;
}

static int move_chunks(struct http_stream *s, struct sink *sink, struct error *err)
{
	for (;;) {
		size_t left = HTTP_STREAM_LINES_MAX;
		autofree char *line = http_stream_line(s, &left, err);
		uint64_t len;
		if (!line)
			return error_wrap(err, "it ended early, after %llu bytes", (unsigned long long)sink->bytes);
		if (parse_number(line, 16, &len) < 0)
			return error_set(err, ERROR_SYSTEM, "a chunk of the answer has the size '%.40s'", line);
		if (len > 0 && move(s, sink, len, err) < 0)
			return -1;
		for (;;) { // the end of the chunk's line; after the last one, lines until an empty one
			autofree char *end = http_stream_line(s, &left, err);
			if (!end)
				return error_wrap(
					err, "it ended early, after %llu bytes", (unsigned long long)sink->bytes);
			if (!*end)
				break;
			if (len > 0)
				return error_set(err, ERROR_SYSTEM, "a chunk of the answer is longer than it says");
		}
		if (len == 0)
			return 0;
	}
}

static int read_body(struct http_stream *s, const struct answer *a, struct sink *sink, struct error *err)
{
	if (a->chunked)
		return move_chunks(s, sink, err);
	sink->total = a->length;
	return move(s, sink, a->sized ? a->length : UINT64_MAX, err);
}

// Reads an answer: its body into the sink when it is a 200, its location when it is a redirect; everything else is an
// error.
static int read_answer(struct http_stream *s, struct sink *sink, char **location, struct error *err)
{
	struct answer a = {0};
	int rc = read_header(s, &a, err);
	autofree char *to = a.location;
	if (rc < 0)
		return -1;
	if (is_redirect(a.status) && (!to || !*to))
		return error_set(err, ERROR_SYSTEM, "status %d without a location", a.status);
	if (is_redirect(a.status)) {
		*location = steal(to);
		return 0;
	}
	if (a.status != 200)
		return error_set(err, ERROR_SYSTEM, "status %d, expected 200", a.status);
	return read_body(s, &a, sink, err);
}

// --- downloads --------------------------------------------------------------

static int fetch(const struct url *url, double idle, struct sink *sink, char **location, struct error *err)
{
	const char *bundle = url->tls ? http_stream_bundle(err) : NULL;
	if (url->tls && !bundle)
		return -1;
	struct crypto_tls_options tls = {.bundle = bundle};
	struct http_service service = {.host = url->host, .port = url->port, .tls = bundle ? &tls : NULL};
	struct http_stream *s = http_stream_open(&service, &(struct http_patience){.idle = idle}, NULL, err);
	if (!s)
		return -1;
	autofree char *host = url_authority(url);
	autofree char *request = mem_printf(
		"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: muster\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		url->path, host);
	int rc = http_stream_send(s, request, strlen(request), err);
	if (rc == 0)
		rc = read_answer(s, sink, location, err);
	http_stream_close(s);
	return rc;
}

static int put_file(struct sink *sink, const char *bytes, size_t len, struct error *err)
{
	if (fs_write_fd(sink->fd, bytes, len, err) < 0)
		return -1;
	if (sink->options->on_progress)
		sink->options->on_progress(sink->bytes, sink->total, sink->options->data);
	return 0;
}

int http_get(const char *url, int fd, const struct http_options *options, uint64_t *bytes, struct error *err)
{
	static const struct http_options defaults;
	struct sink sink = {.put = put_file, .fd = fd, .options = options ? options : &defaults};
	double idle = sink.options->idle > 0 ? sink.options->idle : IDLE;
	autofree char *at = mem_strdup(url);
	for (int hop = 0; hop <= REDIRECTS; hop++) {
		struct url from;
		int rc = url_parse(at, &from, err);
		autofree char *location = NULL;
		if (rc == 0) {
			rc = fetch(&from, idle, &sink, &location, err);
			if (rc < 0)
				error_wrap(err, "cannot fetch '%s'", at);
		}
		char *next = location ? follow(at, &from, location, err) : NULL;
		url_fini(&from);
		if (bytes)
			*bytes = sink.bytes;
		if (rc < 0 || !location)
			return rc;
		if (!next)
			return -1;
		free(at);
		at = next;
	}
	return error_set(err, ERROR_SYSTEM, "cannot fetch '%s': more than %d redirects", url, REDIRECTS);
}

// --- requests to a service --------------------------------------------------

static int send_file(struct http_stream *s, int fd, off_t size, struct error *err)
{
	char bytes[16 * 1024];
	for (off_t at = 0; at < size;) {
		ssize_t n = pread(fd, bytes, sizeof bytes, at);
		if (n <= 0)
			return n ? error_errno(err, "cannot read what is to be sent")
				 : error_set(err, ERROR_SYSTEM, "it became shorter");
		if (http_stream_send(s, bytes, (size_t)n, err) < 0)
			return -1;
		at += n;
	}
	return 0;
}

// What the server is called: with the port where it is not the usual one.
static char *host_field(const struct http_service *service)
{
	if (service->socket || !service->host)
		return mem_strdup("localhost");
	return url_authority(
		&(struct url){.tls = service->tls != NULL, .host = (char *)service->host, .port = service->port});
}

static int send_request(
	struct http_stream *s, const struct http_service *service, const struct http_request *r, struct error *err)
{
	struct stat st = {0};
	if (r->file > 0 && fstat(r->file, &st) < 0)
		return error_errno(err, "cannot read what is to be sent");
	autofree char *host = host_field(service);
	autostr struct str head = {0};
	str_printf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: muster\r\n%s", r->method, r->path, host,
		r->fields ? r->fields : "");
	if (r->type)
		str_printf(&head, "Content-Type: %s\r\n", r->type);
	if (r->type || strcmp(r->method, "GET") != 0)
		str_printf(&head, "Content-Length: %llu\r\n",
			r->file > 0 ? (unsigned long long)st.st_size : (unsigned long long)r->len);
	if (r->upgrade)
		str_printf(&head, "Connection: Upgrade\r\nUpgrade: %s\r\n", r->upgrade);
	else if (!service->pool)
		str_puts(&head, "Connection: close\r\n");
	str_puts(&head, "\r\n");
	if (r->file <= 0) { // in one packet where it fits
		str_add(&head, r->body, r->len);
		return http_stream_send(s, head.text, head.len, err);
	}
	return http_stream_send(s, head.text, head.len, err) < 0 ? -1 : send_file(s, r->file, st.st_size, err);
}

static int put_text(struct sink *sink, const char *bytes, size_t len, struct error *err)
{
	if (sink->request->on_body)
		return sink->request->on_body(bytes, len, sink->request->data, err);
	if (sink->bytes > HTTP_BODY_MAX)
		return error_set(err, ERROR_SYSTEM, "the answer is longer than %d bytes", HTTP_BODY_MAX);
	str_add(sink->text, bytes, len);
	return 0;
}

// A status that says no comes with a text that says why, however the body was to be taken.
static int read_reply(
	struct http_stream *s, const struct http_request *r, struct answer *a, struct str *text, struct error *err)
{
	struct http_request plain = *r;
	if (read_header(s, a, err) < 0)
		return -1;
	if (a->status == 101 && !r->upgrade)
		return error_set(err, ERROR_SYSTEM, "the answer changes the protocol, which nobody asked for");
	if (a->status >= 300)
		plain.on_body = NULL;
	struct sink sink = {.put = put_text, .request = &plain, .text = text};
	bool empty = a->status == 204 || a->status == 304 || a->status == 101 || strcmp(r->method, "HEAD") == 0;
	return empty || (r->upgrade && a->status < 300) ? 0 : read_body(s, a, &sink, err);
}

// May another request follow the answer on this connection?
static bool may_stay(const struct http_stream *s, const struct http_request *r, const struct answer *a)
{
	bool empty = a->status == 204 || a->status == 304 || strcmp(r->method, "HEAD") == 0;
	return !r->upgrade && !a->closes && s->at == s->end && (empty || a->chunked || a->sized);
}

// One try on one connection, which it takes. *unheard: the connection was a kept one and ended without a byte.
static int call_on(struct http_stream *s, const struct http_service *service, const struct http_request *request,
	struct str *text, struct http_stream **stream, bool *unheard, struct error *err)
{
	struct answer a = {.on_field = request->on_field, .data = request->data};
	int sent = send_request(s, service, request, err), rc = sent;
	// Who refuses a long body may say so and close before all was sent: the answer tells more than the broken
	// connection.
	if (rc == 0 || (request->len + (size_t)(request->file > 0) > 0 && (!err || err->code != ERROR_CANCELLED)))
		rc = read_reply(s, request, &a, text, err);
	free(a.location);
	*unheard = rc < 0 && s->kept && a.status == 0 && s->end == 0;
	if (rc == 0 && request->upgrade && a.status < 300) {
		http_stream_be_patient(s, NULL);
		*stream = s;
	} else if (rc == 0 && sent == 0 && service->pool && may_stay(s, request, &a)) {
		http_pool_put(service->pool, s);
	} else {
		http_stream_close(s);
	}
	return rc < 0 ? -1 : a.status;
}

int http_call(const struct http_service *service, const struct http_request *request, struct str *text,
	struct http_stream **stream, struct error *err)
{
	struct http_patience patience = {request->idle > 0 ? request->idle : IDLE, request->cancelled};
	struct error first = {0};
	struct http_stream *s = service->pool ? http_pool_take(service->pool) : NULL;
	bool unheard = false;
	if (request->hopeless)
		*request->hopeless = false;
	if (s) {
		http_stream_be_patient(s, &patience);
		int status = call_on(s, service, request, text, stream, &unheard, &first);
		if (!unheard || first.code == ERROR_CANCELLED) {
			if (status < 0 && err)
				*err = first;
			return status;
		}
		// The server has closed it in between: that is no answer.
	}
	unsigned generation = service->pool ? http_pool_generation(service->pool) : 0;
	s = http_stream_open(service, &patience, request->hopeless, err);
	if (!s)
		return -1;
	s->generation = generation;
	return call_on(s, service, request, text, stream, &unheard, err);
}
