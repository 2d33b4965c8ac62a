#include "base/http.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/url.h"

#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <nss.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const double glance = 0.2; // seconds between two looks at whether it was cancelled

enum {
	REDIRECTS = 10,
	IDLE = 30,
	HEADERS_MAX = 32 * 1024,
	INTERIM_MAX = 1000, // answers with a status 1xx before the real one; one that tells of progress comes often
	CHUNK = 64 * 1024,
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

// --- the connection ---------------------------------------------------------

// A connection, and what was read of an answer but not used yet.
struct http_stream {
	int fd;
	struct crypto_tls *tls; // NULL: none
	double idle;
	const atomic_bool *cancelled; // NULL: never
	char bytes[CHUNK];
	size_t at, end;
};

static ssize_t receive(struct http_stream *s, void *bytes, size_t len)
{
	ssize_t got;
	do
		got = s->tls ? crypto_tls_read(s->tls, bytes, len) : recv(s->fd, bytes, len, 0);
	while (got < 0 && errno == EINTR);
	return got;
}

// Reads more behind what is there. Returns 1, 0 at the end, -1 and err.
static int fill(struct http_stream *s, struct error *err)
{
	double end = clock_mono() + s->idle;
	s->at = s->end = 0;
	for (;;) {
		ssize_t got = receive(s, s->bytes, sizeof s->bytes);
		if (got >= 0) {
			s->end = (size_t)got;
			return got > 0;
		}
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return error_errno(err, "cannot read the answer");
		if (s->cancelled && *s->cancelled)
			return error_set(err, ERROR_CANCELLED, "cancelled");
		if (!s->cancelled || clock_mono() >= end)
			return error_set(err, ERROR_SYSTEM, "no data for %g s", s->idle);
	}
}

static int send_all(struct http_stream *s, const char *text, size_t len, struct error *err)
{
	double end = clock_mono() + s->idle;
	while (len > 0) {
		ssize_t n = s->tls ? crypto_tls_write(s->tls, text, len) : send(s->fd, text, len, MSG_NOSIGNAL);
		if (n > 0) {
			text += n;
			len -= (size_t)n;
			end = clock_mono() + s->idle;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
			return error_errno(err, "cannot send the request");
		if (s->cancelled && *s->cancelled)
			return error_set(err, ERROR_CANCELLED, "cancelled");
		if (!s->cancelled || clock_mono() >= end)
			return error_set(err, ERROR_SYSTEM, "nothing could be sent for %g s", s->idle);
	}
	return 0;
}

// A line of the answer without its end; left is what all lines together may still have.
static char *read_line(struct http_stream *s, size_t *left, struct error *err)
{
	autostr struct str line = {0};
	for (;;) {
		if (s->at == s->end) {
			int rc = fill(s, err);
			if (rc == 0)
				error_set(
					err, ERROR_SYSTEM, "the connection was closed before the answer was complete");
			if (rc <= 0)
				return NULL;
		}
		char *from = s->bytes + s->at, *nl = memchr(from, '\n', s->end - s->at);
		size_t len = nl ? (size_t)(nl - from) : s->end - s->at;
		if (len > *left || memchr(from, '\0', len)) {
			error_set(err, ERROR_SYSTEM, "the answer is not HTTP, or its header is longer than %d bytes",
				HEADERS_MAX);
			return NULL;
		}
		*left -= len;
		str_add(&line, from, len);
		s->at += len + (nl != NULL);
		if (!nl)
			continue;
		if (line.len > 0 && line.text[line.len - 1] == '\r')
			line.text[--line.len] = '\0';
		return str_steal(&line);
	}
}

static void set_patience(int fd, double seconds)
{
	struct timeval wait = {.tv_sec = (time_t)seconds, .tv_usec = (suseconds_t)((seconds - floor(seconds)) * 1e6)};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
}

// Tries each address of the host in turn. Returns a socket whose reads, writes and connect give up after idle seconds.
static int dial(const char *host, int number, double idle, struct error *err)
{
	autofree char *port = mem_printf("%d", number);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list;
	// What else nsswitch.conf may name is loaded from shared objects, which a static program had better not do.
	__nss_configure_lookup("hosts", "files dns");
	int rc = getaddrinfo(host, port, &hints, &list);
	if (rc != 0)
		return error_set(err, ERROR_SYSTEM, "the host '%s' cannot be found: %s", host,
			rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	int fd = -1;
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		set_patience(fd, idle);
		if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
		int saved = errno == EINPROGRESS ? ETIMEDOUT : errno;
		close(fd);
		fd = -1;
		errno = saved;
	}
	int saved = errno;
	freeaddrinfo(list);
	errno = saved;
	return fd < 0 ? error_errno(err, "cannot connect to %s port %d", host, number) : fd;
}

// --- the answer -------------------------------------------------------------

// What the header says.
struct answer {
	int status;
	char *location;
	bool sized, chunked;
	uint64_t length;
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
	}
	return 0;
}

static int read_status(struct http_stream *s, size_t *left, int *status, struct error *err)
{
	autofree char *line = read_line(s, left, err);
	if (!line)
		return -1;
	const char *digits = line + strlen("HTTP/1.x ");
	bool ours = str_starts(line, "HTTP/1.0 ") || str_starts(line, "HTTP/1.1 ");
	if (!ours || strspn(digits, "0123456789") != 3 || (digits[3] && digits[3] != ' ') || *digits == '0')
		return error_set(err, ERROR_SYSTEM, "the answer is not HTTP");
	*status = atoi(digits);
	return 0;
}

// Up to the empty line. A line that begins with a blank continues the one before.
static int read_fields(struct http_stream *s, struct answer *a, size_t *left, struct error *err)
{
	autostr struct str field = {0};
	for (;;) {
		autofree char *line = read_line(s, left, err);
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
		size_t left = HEADERS_MAX;
		free(a->location);
		*a = (struct answer){0};
		if (read_status(s, &left, &a->status, err) < 0 || read_fields(s, a, &left, err) < 0)
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
		int rc = s->at < s->end ? 1 : fill(s, err);
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
		size_t left = HEADERS_MAX;
		autofree char *line = read_line(s, &left, err);
		uint64_t len;
		if (!line)
			return error_wrap(err, "it ended early, after %llu bytes", (unsigned long long)sink->bytes);
		if (parse_number(line, 16, &len) < 0)
			return error_set(err, ERROR_SYSTEM, "a chunk of the answer has the size '%.40s'", line);
		if (len > 0 && move(s, sink, len, err) < 0)
			return -1;
		for (;;) { // the end of the chunk's line; after the last one, lines until an empty one
			autofree char *end = read_line(s, &left, err);
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

// The certificates to trust: where SSL_CERT_FILE says, or where the distributions keep them. A static OpenSSL knows
// only Debian's place.
static const char *find_bundle(struct error *err)
{
	static const char *const files[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};
	const char *named = getenv("SSL_CERT_FILE");
	if (named && *named) {
		if (fs_exists(named))
			return named;
		error_set(err, ERROR_SYSTEM, "SSL_CERT_FILE names '%s', which does not exist", named);
		return NULL;
	}
	for (size_t i = 0; i < countof(files); i++)
		if (fs_exists(files[i]))
			return files[i];
	error_set(err, ERROR_SYSTEM, "this machine has no trusted certificates (such as %s); set SSL_CERT_FILE",
		files[0]);
	return NULL;
}

static int fetch(const struct url *url, double idle, struct sink *sink, char **location, struct error *err)
{
	const char *bundle = url->tls ? find_bundle(err) : NULL;
	if (url->tls && !bundle)
		return -1;
	autoclose int fd = dial(url->host, url->port, idle, err);
	if (fd < 0)
		return -1;
	autofree struct http_stream *s = mem_alloc(sizeof *s);
	s->fd = fd;
	s->idle = idle;
	if (url->tls && !(s->tls = crypto_tls_open(fd, url->host, bundle, NULL, NULL, err)))
		return -1;
	autofree char *host = url_authority(url);
	autofree char *request = mem_printf(
		"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: muster\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		url->path, host);
	int rc = send_all(s, request, strlen(request), err);
	if (rc == 0)
		rc = read_answer(s, sink, location, err);
	crypto_tls_close(s->tls);
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

static int dial_path(const char *path, double idle, struct error *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof a.sun_path)
		return error_set(err, ERROR_SYSTEM,
			"the path '%s' is too long for a socket, expected at most %zu bytes", path,
			sizeof a.sun_path - 1);
	strcpy(a.sun_path, path);
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_errno(err, "cannot make a socket");
	set_patience(fd, idle);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
		return error_errno(err, "cannot connect to '%s'", path);
	return steal_fd(&fd);
}

static struct http_stream *connect_to(
	const struct http_service *service, const struct http_request *request, struct error *err)
{
	double idle = request->idle > 0 ? request->idle : IDLE,
	       wait = request->cancelled && glance < idle ? glance : idle;
	struct http_stream *s = mem_alloc(sizeof *s);
	s->idle = idle;
	s->fd = service->socket ? dial_path(service->socket, wait, err) : dial(service->host, service->port, idle, err);
	if (s->fd >= 0 && service->bundle &&
		!(s->tls = crypto_tls_open(s->fd, service->host, service->bundle, service->cert, service->key, err)))
		close(steal_fd(&s->fd));
	if (s->fd < 0) {
		free(s);
		return NULL;
	}
	set_patience(s->fd, wait);
	s->cancelled = request->cancelled;
	return s;
}

static int send_file(struct http_stream *s, int fd, off_t size, struct error *err)
{
	char bytes[16 * 1024];
	for (off_t at = 0; at < size;) {
		ssize_t n = pread(fd, bytes, sizeof bytes, at);
		if (n <= 0)
			return n ? error_errno(err, "cannot read what is to be sent")
				 : error_set(err, ERROR_SYSTEM, "it became shorter");
		if (send_all(s, bytes, (size_t)n, err) < 0)
			return -1;
		at += n;
	}
	return 0;
}

static int send_request(
	struct http_stream *s, const struct http_service *service, const struct http_request *r, struct error *err)
{
	struct stat st = {0};
	if (r->file > 0 && fstat(r->file, &st) < 0)
		return error_errno(err, "cannot read what is to be sent");
	autostr struct str head = {0};
	str_printf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: muster\r\n", r->method, r->path,
		service->host ? service->host : "localhost");
	if (r->type)
		str_printf(&head, "Content-Type: %s\r\n", r->type);
	if (r->type || strcmp(r->method, "GET") != 0)
		str_printf(&head, "Content-Length: %llu\r\n",
			r->file > 0 ? (unsigned long long)st.st_size : (unsigned long long)r->len);
	str_puts(&head, r->upgrade ? "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n" : "Connection: close\r\n\r\n");
	if (send_all(s, head.text, head.len, err) < 0)
		return -1;
	return r->file > 0 ? send_file(s, r->file, st.st_size, err) : send_all(s, r->body, r->len, err);
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

int http_call(const struct http_service *service, const struct http_request *request, struct str *text,
	struct http_stream **stream, struct error *err)
{
	struct http_stream *s = connect_to(service, request, err);
	if (!s)
		return -1;
	struct answer a = {0};
	int rc = send_request(s, service, request, err);
	// Who refuses a long body may say so and close before all was sent: the answer tells more than the broken
	// connection.
	if (rc == 0 || (request->len + (size_t)(request->file > 0) > 0 && (!err || err->code != ERROR_CANCELLED)))
		rc = read_reply(s, request, &a, text, err);
	free(a.location);
	if (rc == 0 && request->upgrade && a.status < 300) {
		set_patience(s->fd, 0);
		*stream = s;
	} else {
		http_stream_close(s);
	}
	return rc < 0 ? -1 : a.status;
}

int http_stream_fd(const struct http_stream *s)
{
	return s->fd;
}

ssize_t http_stream_read(struct http_stream *s, void *bytes, size_t len)
{
	if (s->at == s->end)
		return receive(s, bytes, len);
	if (len > s->end - s->at)
		len = s->end - s->at;
	memcpy(bytes, s->bytes + s->at, len);
	s->at += len;
	return (ssize_t)len;
}

bool http_stream_pending(const struct http_stream *s)
{
	return s->at < s->end || (s->tls && crypto_tls_pending(s->tls));
}

ssize_t http_stream_write(struct http_stream *s, const void *bytes, size_t len)
{
	ssize_t n;
	do
		n = s->tls ? crypto_tls_write(s->tls, bytes, len) : send(s->fd, bytes, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

void http_stream_close(struct http_stream *s)
{
	if (!s)
		return;
	crypto_tls_close(s->tls);
	mem_cleanup_fd(&s->fd);
	free(s);
}
