#include "base/http.h"

#include "base/crypto.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <nss.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REDIRECTS = 10, IDLE = 30, HEADERS_MAX = 32 * 1024, URL_MAX = 8 * 1024, CHUNK = 64 * 1024 };

// A URL taken apart.
struct place {
	bool tls;
	char *host; // without the brackets of an IPv6 address
	int port;
	char *path; // with the query
};

// --- URLs -------------------------------------------------------------------

static void place_fini(struct place *place)
{
	free(place->host);
	free(place->path);
}

static int parse_port(const char *text, const char *url, struct error *err)
{
	char *end;
	long port = strtol(text, &end, 10);
	return *text < '0' || *text > '9' || *end || port < 1 || port > 65535 ? error_set(err, ERROR_SYSTEM, "'%s' has a bad port", url)
	                                                                      : (int)port;
}

static int parse_url(const char *url, struct place *place, struct error *err)
{
	*place = (struct place){0};
	for (const char *at = url; *at; at++)
		if ((unsigned char)*at <= ' ' || *at == 0x7f)
			return error_set(err, ERROR_SYSTEM, "'%s' has a blank or control character", url);
	place->tls = strncasecmp(url, "https://", 8) == 0;
	if (!place->tls && strncasecmp(url, "http://", 7) != 0)
		return error_set(err, ERROR_SYSTEM, "'%s' is neither http:// nor https://", url);
	if (strlen(url) > URL_MAX)
		return error_set(err, ERROR_SYSTEM, "a url of %zu bytes, expected at most %d", strlen(url), URL_MAX);
	const char *at = url + (place->tls ? 8 : 7);
	size_t len = strcspn(at, "/?#");
	autofree char *authority = mem_strndup(at, len);
	at += len;
	place->path = mem_printf("%s%.*s", *at == '/' ? "" : "/", (int)strcspn(at, "#"), at);
	if (strchr(authority, '@'))
		return error_set(err, ERROR_SYSTEM, "'%s' holds a user name, which is not supported", url);
	char *host = authority, *rest = authority + strcspn(authority, ":");
	if (*host == '[') {
		rest = strchr(++host, ']');
		if (!rest)
			return error_set(err, ERROR_SYSTEM, "'%s' has a '[' without a ']'", url);
		*rest++ = '\0';
	}
	place->port = place->tls ? 443 : 80;
	if (*rest == ':' && (place->port = parse_port(rest + 1, url, err)) < 0)
		return -1;
	if (*rest == ':')
		*rest = '\0';
	if (*host == '\0' || *rest)
		return error_set(err, ERROR_SYSTEM, "'%s' has no host", url);
	place->host = mem_strdup(host);
	return 0;
}

// Where a redirect from url leads; NULL when it may not be followed.
static char *follow(const char *url, const struct place *from, const char *location, struct error *err)
{
	autofree char *next = NULL;
	bool v6 = strchr(from->host, ':');
	if (strstr(location, "://"))
		next = mem_strdup(location);
	else if (str_starts(location, "//"))
		next = mem_printf("http%s:%s", from->tls ? "s" : "", location);
	else if (*location == '/')
		next = mem_printf(
		        "http%s://%s%s%s:%d%s", from->tls ? "s" : "", v6 ? "[" : "", from->host, v6 ? "]" : "", from->port, location);
	else {
		const char *slash = memrchr(from->path, '/', strcspn(from->path, "?"));
		next = mem_printf("http%s://%s%s%s:%d%.*s%s", from->tls ? "s" : "", v6 ? "[" : "", from->host, v6 ? "]" : "", from->port,
		        (int)(slash - from->path + 1), from->path, location);
	}
	if (from->tls && strncasecmp(next, "http:", 5) == 0) {
		error_set(err, ERROR_SYSTEM, "'%s' redirects from https to '%s'", url, next);
		return NULL;
	}
	return steal(next);
}

// --- the connection ---------------------------------------------------------

// An answer being read.
struct stream {
	int fd;
	struct crypto_tls *tls; // NULL: none
	double idle;
	char bytes[CHUNK];
	size_t at, end;
};

// Reads more behind what is there. Returns 1, 0 at the end, -1 and err.
static int fill(struct stream *s, struct error *err)
{
	s->at = s->end = 0;
	ssize_t got;
	do
		got = s->tls ? crypto_tls_read(s->tls, s->bytes, sizeof s->bytes) : recv(s->fd, s->bytes, sizeof s->bytes, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return error_set(err, ERROR_SYSTEM, "nothing has come for %g s", s->idle);
	if (got < 0)
		return error_errno(err, "cannot read the answer");
	s->end = (size_t)got;
	return got > 0;
}

static int send_all(struct stream *s, const char *text, struct error *err)
{
	for (size_t len = strlen(text); len > 0;) {
		ssize_t n = s->tls ? crypto_tls_write(s->tls, text, len) : send(s->fd, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_errno(err, "cannot send the request");
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

// A line of the answer without its end; left is what all lines together may still have.
static char *read_line(struct stream *s, size_t *left, struct error *err)
{
	autostr struct str line = {0};
	for (;;) {
		if (s->at == s->end) {
			int rc = fill(s, err);
			if (rc == 0)
				error_set(err, ERROR_SYSTEM, "the connection was closed before the answer was complete");
			if (rc <= 0)
				return NULL;
		}
		char *from = s->bytes + s->at, *nl = memchr(from, '\n', s->end - s->at);
		size_t len = nl ? (size_t)(nl - from) : s->end - s->at;
		if (len > *left || memchr(from, '\0', len)) {
			error_set(err, ERROR_SYSTEM, "the answer is no HTTP, or its header is longer than %d bytes", HEADERS_MAX);
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

// Tries each address of the host in turn. Returns a socket whose reads, writes and connect give up after idle seconds.
static int dial(const struct place *place, double idle, struct error *err)
{
	autofree char *port = mem_printf("%d", place->port);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list;
	// What else nsswitch.conf may name is loaded from shared objects, which a static program had better not do.
	__nss_configure_lookup("hosts", "files dns");
	int rc = getaddrinfo(place->host, port, &hints, &list);
	if (rc != 0)
		return error_set(err, ERROR_SYSTEM, "the host '%s' cannot be found: %s", place->host,
		        rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	struct timeval wait = {.tv_sec = (time_t)idle, .tv_usec = (suseconds_t)((idle - floor(idle)) * 1e6)};
	int fd = -1;
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
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
	return fd < 0 ? error_errno(err, "cannot connect to %s port %d", place->host, place->port) : fd;
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
	int fd;
	const struct http_options *options;
	uint64_t bytes, total;
};

static int parse_number(const char *text, int base, uint64_t *value)
{
	char *end;
	errno = 0;
	*value = strtoull(text, &end, base);
	end += strspn(end, " \t");
	bool extended = base == 16 && *end == ';'; // a chunk's size may be followed by what nobody uses
	return !isxdigit((unsigned char)*text) || end == text || (*end && !extended) || errno || *value > INT64_MAX ? -1 : 0;
}

static int take_header(struct answer *a, char *line, struct error *err)
{
	char *value = strchr(line, ':');
	if (!value)
		return error_set(err, ERROR_SYSTEM, "the answer has a header line without ':'");
	*value++ = '\0';
	value += strspn(value, " \t");
	if (strcasecmp(line, "content-length") == 0) {
		uint64_t length;
		if (parse_number(value, 10, &length) < 0 || (a->sized && a->length != length))
			return error_set(err, ERROR_SYSTEM, "the answer has the content-length '%.40s'", value);
		a->sized = true;
		a->length = length;
	} else if (strcasecmp(line, "transfer-encoding") == 0) {
		if (strcasecmp(value, "chunked") != 0)
			return error_set(err, ERROR_SYSTEM, "the answer has the transfer-encoding '%.40s', expected chunked", value);
		a->chunked = true;
	} else if (strcasecmp(line, "location") == 0) {
		free(a->location);
		a->location = mem_strdup(value);
	}
	return 0;
}

static int read_header(struct stream *s, struct answer *a, struct error *err)
{
	size_t left = HEADERS_MAX;
	autofree char *first = read_line(s, &left, err);
	if (!first)
		return -1;
	if (sscanf(first, "HTTP/1.%*1[01] %3d", &a->status) != 1 || a->status < 100)
		return error_set(err, ERROR_SYSTEM, "the answer is no HTTP");
	for (;;) {
		autofree char *line = read_line(s, &left, err);
		if (!line || (*line && take_header(a, line, err) < 0))
			return -1;
		if (*line)
			continue;
		return a->status < 200 ? read_header(s, a, err) : 0; // 1xx only announce the real one
	}
}

// Moves len bytes of the body on; UINT64_MAX: until the end of the connection.
static int move(struct stream *s, struct sink *sink, uint64_t len, struct error *err)
{
	bool endless = len == UINT64_MAX;
	while (len > 0) {
		int rc = s->at < s->end ? 1 : fill(s, err);
		if (rc == 0 && endless)
			return 0;
		if (rc == 0 && sink->total > 0)
			return error_set(err, ERROR_SYSTEM, "it ended after %llu of %llu bytes", (unsigned long long)sink->bytes,
			        (unsigned long long)sink->total);
		if (rc == 0)
			return error_set(err, ERROR_SYSTEM, "it ended early, after %llu bytes", (unsigned long long)sink->bytes);
		if (rc < 0)
			return -1;
		size_t n = s->end - s->at;
		if (n > len)
			n = (size_t)len;
		if (fs_write_fd(sink->fd, s->bytes + s->at, n, err) < 0)
			return -1;
		s->at += n;
		sink->bytes += n;
		if (!endless)
			len -= n;
		if (sink->options->on_progress)
			sink->options->on_progress(sink->bytes, sink->total, sink->options->data);
	}
	return 0;
}

static int move_chunks(struct stream *s, struct sink *sink, struct error *err)
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
				return error_wrap(err, "it ended early, after %llu bytes", (unsigned long long)sink->bytes);
			if (!*end)
				break;
			if (len > 0)
				return error_set(err, ERROR_SYSTEM, "a chunk of the answer is longer than it says");
		}
		if (len == 0)
			return 0;
	}
}

// Reads an answer: its body into the sink when it is a 200, its location when it is a redirect; everything else is an error.
static int read_answer(struct stream *s, struct sink *sink, char **location, struct error *err)
{
	struct answer a = {0};
	int rc = read_header(s, &a, err);
	autofree char *to = a.location;
	if (rc < 0)
		return -1;
	if (a.status >= 301 && a.status <= 308 && a.status != 304) {
		*location = steal(to);
		return *location ? 0 : error_set(err, ERROR_SYSTEM, "status %d without a location", a.status);
	}
	if (a.status != 200)
		return error_set(err, ERROR_SYSTEM, "status %d, expected 200", a.status);
	if (a.chunked)
		return move_chunks(s, sink, err);
	sink->total = a.length;
	return move(s, sink, a.sized ? a.length : UINT64_MAX, err);
}

// --- one request ------------------------------------------------------------

// The certificates to trust: where SSL_CERT_FILE says, or where the distributions keep them. A static OpenSSL knows only Debian's place.
static const char *find_bundle(struct error *err)
{
	static const char *const files[] = {
	        "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};
	const char *named = getenv("SSL_CERT_FILE");
	if (named && *named) {
		if (fs_exists(named))
			return named;
		error_set(err, ERROR_SYSTEM, "there is no '%s', which SSL_CERT_FILE names", named);
		return NULL;
	}
	for (size_t i = 0; i < countof(files); i++)
		if (fs_exists(files[i]))
			return files[i];
	error_set(err, ERROR_SYSTEM, "this machine has no certificates to trust (%s, for example); SSL_CERT_FILE may name some", files[0]);
	return NULL;
}

static int fetch(const struct place *place, double idle, struct sink *sink, char **location, struct error *err)
{
	const char *bundle = place->tls ? find_bundle(err) : NULL;
	if (place->tls && !bundle)
		return -1;
	autoclose int fd = dial(place, idle, err);
	if (fd < 0)
		return -1;
	autofree struct stream *s = mem_alloc(sizeof *s);
	s->fd = fd;
	s->idle = idle;
	if (place->tls && !(s->tls = crypto_tls_open(fd, place->host, bundle, err)))
		return -1;
	bool v6 = strchr(place->host, ':'), usual = place->port == (place->tls ? 443 : 80);
	autofree char *port = usual ? mem_strdup("") : mem_printf(":%d", place->port);
	autofree char *request =
	        mem_printf("GET %s HTTP/1.1\r\nHost: %s%s%s%s\r\nUser-Agent: muster\r\nAccept: */*\r\nConnection: close\r\n\r\n",
	                place->path, v6 ? "[" : "", place->host, v6 ? "]" : "", port);
	int rc = send_all(s, request, err);
	if (rc == 0)
		rc = read_answer(s, sink, location, err);
	crypto_tls_close(s->tls);
	return rc;
}

int http_get(const char *url, int fd, const struct http_options *options, uint64_t *bytes, struct error *err)
{
	static const struct http_options defaults;
	struct sink sink = {.fd = fd, .options = options ? options : &defaults};
	double idle = sink.options->idle > 0 ? sink.options->idle : IDLE;
	autofree char *at = mem_strdup(url);
	for (int hop = 0; hop <= REDIRECTS; hop++) {
		struct place place;
		int rc = parse_url(at, &place, err);
		autofree char *location = NULL;
		if (rc == 0) {
			rc = fetch(&place, idle, &sink, &location, err);
			if (rc < 0)
				error_wrap(err, "cannot fetch '%s'", at);
		}
		char *next = location ? follow(at, &place, location, err) : NULL;
		place_fini(&place);
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
