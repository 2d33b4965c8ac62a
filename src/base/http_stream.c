#include "base/http_stream.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nss.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const double glance = 0.2; // seconds between two looks at whether it was cancelled

// --- bytes ------------------------------------------------------------------

static ssize_t receive(struct http_stream *s, void *bytes, size_t len)
{
	struct crypto_tls *tls = s->tls ? s->tls : s->proxy_tls;
	ssize_t got;
	do
		got = tls ? crypto_tls_read(tls, bytes, len) : recv(s->fd, bytes, len, 0);
	while (got < 0 && errno == EINTR);
	return got;
}

ssize_t http_stream_write(struct http_stream *s, const void *bytes, size_t len)
{
	struct crypto_tls *tls = s->tls ? s->tls : s->proxy_tls;
	ssize_t n;
	do
		n = tls ? crypto_tls_write(tls, bytes, len) : send(s->fd, bytes, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

static bool is_cancelled(const struct http_patience *p)
{
	return p->cancelled && *p->cancelled;
}

// A wait ended without anything: 0 to wait again, -1 and err when it was long enough.
static int wait_again(const struct http_patience *p, double end, const char *what, struct error *err)
{
	if (is_cancelled(p))
		return error_set(err, ERROR_CANCELLED, "cancelled");
	if (clock_mono() >= end)
		return error_set(err, ERROR_SYSTEM, "%s for %g s", what, p->idle);
	return 0;
}

int http_stream_fill(struct http_stream *s, struct error *err)
{
	double end = clock_mono() + s->patience.idle * 0.99; // the socket's own timeout may come a moment early
	s->at = s->end = 0;
	for (;;) {
		ssize_t got = receive(s, s->bytes, sizeof s->bytes);
		if (got >= 0) {
			s->end = (size_t)got;
			return got > 0;
		}
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return error_errno(err, "cannot read the answer");
		if (wait_again(&s->patience, end, "no data", err) < 0)
			return -1;
	}
}

int http_stream_send(struct http_stream *s, const char *text, size_t len, struct error *err)
{
	double end = clock_mono() + s->patience.idle * 0.99;
	while (len > 0) {
		ssize_t n = http_stream_write(s, text, len);
		if (n > 0) {
			text += n;
			len -= (size_t)n;
			end = clock_mono() + s->patience.idle * 0.99;
			continue;
		}
		if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
			return error_errno(err, "cannot send the request");
		if (wait_again(&s->patience, end, "nothing could be sent", err) < 0)
			return -1;
	}
	return 0;
}

char *http_stream_line(struct http_stream *s, size_t *left, struct error *err)
{
	autostr struct str line = {0};
	for (;;) {
		if (s->at == s->end) {
			int rc = http_stream_fill(s, err);
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
				HTTP_STREAM_LINES_MAX);
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
	const struct crypto_tls *tls = s->tls ? s->tls : s->proxy_tls;
	return s->at < s->end || (tls && crypto_tls_pending(tls));
}

// --- opening ----------------------------------------------------------------

static void set_timeouts(int fd, double seconds)
{
	struct timeval wait = {.tv_sec = (time_t)seconds, .tv_usec = (suseconds_t)((seconds - floor(seconds)) * 1e6)};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
}

void http_stream_be_patient(struct http_stream *s, const struct http_patience *p)
{
	s->patience = p ? *p : (struct http_patience){0};
	set_timeouts(s->fd, !p ? 0 : p->cancelled && glance < p->idle ? glance : p->idle);
}

static void set_blocking(int fd, bool blocking)
{
	int flags = fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

// Waits for a connection that is being made. 0; 1 when it cannot be made, with errno; -1 and err when it was cancelled.
static int await_connection(int fd, const struct http_patience *p, struct error *err)
{
	double end = clock_mono() + p->idle;
	int why = ETIMEDOUT;
	socklen_t len = sizeof why;
	for (double left; (left = end - clock_mono()) > 0;) {
		struct pollfd poller = {.fd = fd, .events = POLLOUT};
		double wait = p->cancelled && glance < left ? glance : left;
		if (poll(&poller, 1, (int)(wait * 1000) + 1) > 0) {
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len);
			break;
		}
		if (is_cancelled(p))
			return error_set(err, ERROR_CANCELLED, "cancelled");
	}
	errno = why;
	return why != 0;
}

// 0, 1 and -1 as await_connection.
static int connect_address(
	int fd, const struct sockaddr *a, socklen_t len, const struct http_patience *p, struct error *err)
{
	set_blocking(fd, false);
	int rc = connect(fd, a, len) == 0 ? 0 : errno == EINPROGRESS ? await_connection(fd, p, err) : 1;
	set_blocking(fd, true);
	return rc;
}

// Tries each address of the host in turn.
static int dial(const char *host, int number, const struct http_patience *p, bool *hopeless, struct error *err)
{
	autofree char *port = mem_printf("%d", number);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list;
	// What else nsswitch.conf may name is loaded from shared objects, which a static program had better not do.
	__nss_configure_lookup("hosts", "files dns");
	int rc = getaddrinfo(host, port, &hints, &list);
	if (rc != 0) {
		*hopeless = rc == EAI_NONAME;
		return error_set(err, ERROR_SYSTEM, "the host '%s' cannot be found: %s", host,
			rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	}
	int fd = -1, saved = EADDRNOTAVAIL;
	rc = 1;
	for (struct addrinfo *a = list; a && rc > 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		rc = fd < 0 ? 1 : connect_address(fd, a->ai_addr, a->ai_addrlen, p, err);
		saved = errno;
		if (rc != 0)
			mem_cleanup_fd(&fd);
	}
	freeaddrinfo(list);
	errno = saved;
	return rc == 0 ? fd : rc > 0 ? error_errno(err, "cannot connect to %s port %d", host, number) : -1;
}

static int dial_path(const char *path, const struct http_patience *p, struct error *err)
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
	set_timeouts(fd, p->cancelled && glance < p->idle ? glance : p->idle);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
		return error_errno(err, "cannot connect to '%s'", path);
	return steal_fd(&fd);
}

const char *http_stream_bundle(struct error *err)
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

static int start_tls(struct http_stream *s, struct crypto_tls **tls, const struct crypto_tls_options *options,
	bool *hopeless, struct error *err)
{
	double end = clock_mono() + s->patience.idle * 0.99;
	*tls = crypto_tls_open(s->fd, options, err);
	*hopeless = !*tls;
	if (!*tls)
		return -1;
	for (;;) {
		int rc = crypto_tls_handshake(*tls, options, err);
		if (rc < 0)
			*hopeless = crypto_tls_is_untrusted(*tls);
		if (rc <= 0)
			return rc;
		autofree char *what = mem_printf("'%s' does not answer with TLS", options->host);
		if (wait_again(&s->patience, end, what, err) < 0)
			return -1;
	}
}

// --- through a proxy ----------------------------------------------------------

static int connect_http(struct http_stream *s, const struct http_service *to, bool *hopeless, struct error *err)
{
	const struct proxy *p = to->proxy;
	bool v6 = strchr(to->host, ':');
	autofree char *where = mem_printf("%s%s%s:%d", v6 ? "[" : "", to->host, v6 ? "]" : "", to->port);
	autostr struct str text = {0};
	str_printf(&text, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: muster\r\n", where, where);
	if (p->user) {
		autofree char *both = mem_printf("%s:%s", p->user, p->password);
		autofree char *secret = crypto_base64(both, strlen(both));
		str_printf(&text, "Proxy-Authorization: Basic %s\r\n", secret);
	}
	str_puts(&text, "\r\n");
	if (http_stream_send(s, text.text, text.len, err) < 0)
		return -1;
	size_t left = HTTP_STREAM_LINES_MAX;
	autofree char *status = http_stream_line(s, &left, err);
	if (!status)
		return -1;
	for (bool more = true; more;) {
		autofree char *line = http_stream_line(s, &left, err);
		if (!line)
			return -1;
		more = *line;
	}
	bool ours = str_starts(status, "HTTP/1.0 ") || str_starts(status, "HTTP/1.1 ");
	if (ours && strncmp(status + strlen("HTTP/1.x "), "2", 1) == 0)
		return 0;
	*hopeless = ours && strncmp(status + strlen("HTTP/1.x "), "4", 1) == 0;
	return error_set(err, ERROR_SYSTEM, "it refuses a connection to %s: %.100s", where, status);
}

static int read_exactly(struct http_stream *s, unsigned char *bytes, size_t len, struct error *err)
{
	for (size_t have = 0; have < len; bytes[have++] = (unsigned char)s->bytes[s->at++]) {
		int rc = s->at < s->end ? 1 : http_stream_fill(s, err);
		if (rc == 0)
			return error_set(err, ERROR_SYSTEM, "the connection was closed before the answer was complete");
		if (rc < 0)
			return -1;
	}
	return 0;
}

static const char *socks_reason(unsigned char code)
{
	static const char *const reasons[] = {[1] = "general failure",
		"not allowed",
		"the network cannot be reached",
		"the host cannot be reached",
		"connection refused",
		"it takes too long",
		"it knows no such command",
		"it knows no such kind of address"};
	return code < countof(reasons) && reasons[code] ? reasons[code] : "an unknown reason";
}

// RFC 1929: 1, the name, the password, each with its length before it.
static int socks_login(struct http_stream *s, const struct proxy *p, bool *hopeless, struct error *err)
{
	unsigned char reply[2];
	size_t user = strlen(p->user), password = strlen(p->password);
	if (user == 0 || user > 255 || password > 255)
		return error_set(err, ERROR_USAGE, "a name and a password of 1 to 255 bytes are expected");
	autostr struct str login = {0};
	str_printf(&login, "\001%c%s%c%s", (int)user, p->user, (int)password, p->password);
	if (http_stream_send(s, login.text, login.len, err) < 0 || read_exactly(s, reply, 2, err) < 0)
		return -1;
	*hopeless = reply[1] != 0;
	return reply[1] ? error_set(err, ERROR_SYSTEM, "it does not accept the user '%s' and the password", p->user)
			: 0;
}

// The proxy looks the name up, as it does for Go's programs with either scheme.
static int connect_socks(struct http_stream *s, const struct http_service *to, bool *hopeless, struct error *err)
{
	const struct proxy *p = to->proxy;
	unsigned char reply[256 + 2];
	size_t len = strlen(to->host);
	if (len > 255)
		return error_set(err, ERROR_USAGE, "the host has %zu bytes, expected at most 255", len);
	if (http_stream_send(s, p->user ? "\005\002\000\002" : "\005\001\000", p->user ? 4 : 3, err) < 0 ||
		read_exactly(s, reply, 2, err) < 0)
		return -1;
	if (reply[0] != 5 || (reply[1] != 0 && !(reply[1] == 2 && p->user))) {
		*hopeless = true;
		return error_set(err, ERROR_SYSTEM,
			reply[0] == 5 ? "it wants another way to log in" : "it does not speak SOCKS 5");
	}
	if (reply[1] == 2 && socks_login(s, p, hopeless, err) < 0)
		return -1;
	autostr struct str text = {0};
	unsigned char port[2] = {(unsigned char)(to->port >> 8), (unsigned char)to->port};
	str_add(&text, "\005\001\000\003", 4);
	str_printf(&text, "%c%s", (int)len, to->host);
	str_add(&text, port, 2);
	if (http_stream_send(s, text.text, text.len, err) < 0 || read_exactly(s, reply, 4, err) < 0)
		return -1;
	if (reply[0] != 5 || reply[1] != 0) {
		*hopeless = reply[1] == 2;
		return error_set(err, ERROR_SYSTEM, "it refuses a connection to %s port %d: %s", to->host, to->port,
			socks_reason(reply[1]));
	}
	unsigned char length = reply[3] == 1 ? 4 : 16; // of the address it uses, which nobody needs
	if (reply[3] == 3 && read_exactly(s, &length, 1, err) < 0)
		return -1;
	return read_exactly(s, reply, (size_t)length + 2, err);
}

static int go_through_proxy(struct http_stream *s, const struct http_service *to, bool *hopeless, struct error *err)
{
	const struct proxy *p = to->proxy;
	int rc = 0;
	if (p->tls) {
		const char *bundle = http_stream_bundle(err);
		struct crypto_tls_options options = {.host = p->host, .bundle = bundle, .protocol = "http/1.1"};
		rc = bundle ? start_tls(s, &s->proxy_tls, &options, hopeless, err) : -1;
	}
	if (rc == 0)
		rc = p->kind == PROXY_SOCKS5 ? connect_socks(s, to, hopeless, err) : connect_http(s, to, hopeless, err);
	// It would be taken for what the server says, and the server has not been asked yet.
	if (rc == 0 && s->at < s->end)
		rc = error_set(err, ERROR_SYSTEM, "it says more than its answer");
	return rc < 0 && (!err || err->code != ERROR_CANCELLED) ? error_wrap(err, "the proxy %s", p->place) : rc;
}

static int open_line(struct http_stream *s, const struct http_service *to, bool *hopeless, struct error *err)
{
	const struct http_patience *p = &s->patience;
	const char *host = to->host ? to->host : "localhost";
	s->fd = to->socket  ? dial_path(to->socket, p, err)
		: to->proxy ? dial(to->proxy->host, to->proxy->port, p, hopeless, err)
			    : dial(host, to->port, p, hopeless, err);
	if (s->fd < 0)
		return to->proxy && (!err || err->code != ERROR_CANCELLED)
			       ? error_wrap(err, "the proxy %s", to->proxy->place)
			       : -1;
	if (!to->socket) { // what is sent is whole: waiting for more only delays it
		int yes = 1;
		setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	}
	http_stream_be_patient(s, &(struct http_patience){p->idle, p->cancelled});
	if (to->proxy && go_through_proxy(s, to, hopeless, err) < 0)
		return -1;
	if (!to->tls)
		return 0;
	struct crypto_tls_options options = *to->tls;
	options.host = options.host ? options.host : host;
	options.through = s->proxy_tls;
	return start_tls(s, &s->tls, &options, hopeless, err);
}

struct http_stream *http_stream_open(
	const struct http_service *service, const struct http_patience *patience, bool *hopeless, struct error *err)
{
	bool no_hope = false;
	struct http_stream *s = mem_alloc(sizeof *s);
	s->fd = -1;
	s->patience = *patience;
	int rc = open_line(s, service, &no_hope, err);
	if (hopeless)
		*hopeless = no_hope;
	if (rc == 0)
		return s;
	http_stream_close(s);
	return NULL;
}

void http_stream_close(struct http_stream *s)
{
	if (!s)
		return;
	crypto_tls_close(s->tls);
	crypto_tls_close(s->proxy_tls);
	mem_cleanup_fd(&s->fd);
	free(s);
}
