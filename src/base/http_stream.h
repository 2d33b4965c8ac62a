// The connection below HTTP: to a unix socket or a host, through a proxy, with TLS. It waits as long as it is told to.
// It knows no requests and no answers: base/http.h does.
#ifndef BASE_HTTP_STREAM_H
#define BASE_HTTP_STREAM_H

#include "base/crypto.h"
#include "base/error.h"
#include "base/proxy.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct http_pool;

// Where a service is.
struct http_service {
	const char *socket; // path of a unix socket; NULL: it is at host and port
	const char *host;   // NULL: "localhost" is what the service is called
	int port;
	const struct crypto_tls_options *tls; // NULL: no TLS. Its host NULL: the service's
	const struct proxy *proxy;            // NULL: none
	struct http_pool *pool;               // connections that were kept (base/http_pool.h); NULL: none is kept
};

// How long to wait for it.
struct http_patience {
	double idle;                  // seconds without a byte after which it fails
	const atomic_bool *cancelled; // non-zero: it fails soon with ERROR_CANCELLED; may be NULL
};

enum { HTTP_STREAM_CHUNK = 64 * 1024, HTTP_STREAM_LINES_MAX = 32 * 1024 };

// A connection, and what was read of it but not used yet.
struct http_stream {
	int fd;
	struct crypto_tls *tls, *proxy_tls; // NULL: none
	struct http_patience patience;
	bool kept;           // it has served a request before
	unsigned generation; // of the pool it came from
	double since;        // when it was last used (clock_mono)
	char bytes[HTTP_STREAM_CHUNK];
	size_t at, end;
};

// Connects. NULL and err when that fails; *hopeless (may be NULL) then says that trying again will not help: the host
// is not known, what it shows is not trusted, what we show cannot be read, the proxy refuses.
struct http_stream *http_stream_open(
	const struct http_service *service, const struct http_patience *patience, bool *hopeless, struct error *err);
void http_stream_close(struct http_stream *stream); // takes NULL

// The file of certificates to trust: where SSL_CERT_FILE says, or where the distributions keep them (a static OpenSSL
// knows only Debian's place). NULL and err.
const char *http_stream_bundle(struct error *err);

// From now on. NULL: for ever, as whoever reads it by poll(2) wants it.
void http_stream_be_patient(struct http_stream *stream, const struct http_patience *patience);

// Reads more behind what is there. Returns 1, 0 at the end, -1 and err.
int http_stream_fill(struct http_stream *stream, struct error *err);

// A line without its end, owned by the caller; left is what all lines together may still have. NULL and err.
char *http_stream_line(struct http_stream *stream, size_t *left, struct error *err);

int http_stream_send(struct http_stream *stream, const char *bytes, size_t len, struct error *err);

// A connection that carries bytes both ways now. As read(2) and write(2), no SIGPIPE; a descriptor that is made
// non-blocking is EAGAIN. pending: there are bytes to read that poll(2) does not know of.
int http_stream_fd(const struct http_stream *stream);
ssize_t http_stream_read(struct http_stream *stream, void *bytes, size_t len);
ssize_t http_stream_write(struct http_stream *stream, const void *bytes, size_t len);
bool http_stream_pending(const struct http_stream *stream);

#endif
