// HTTP/1.1: downloads to a descriptor, and requests to a service behind a unix socket, TCP or TLS.
// It blocks: it belongs into a forked child or a thread of its own. It keeps no connection, no cookies and no cache.
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include "base/error.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct http_options {
	double idle; // seconds without a byte after which it fails; 0 is 30
	// Called as bytes arrive; total is 0 when the server has not said. May be NULL.
	void (*on_progress)(uint64_t bytes, uint64_t total, void *data);
	void *data;
};

// Writes the body to fd; *bytes (may be NULL) gets its length. Follows up to 10 redirects, but none from https to http.
// A server's certificate is checked against the file SSL_CERT_FILE names or the system's bundle. -1 and err, which
// names the url, also for a status other than 200 and for a body that ends early. The options may be NULL.
int http_get(const char *url, int fd, const struct http_options *options, uint64_t *bytes, struct error *err);

#define HTTP_BODY_MAX (64 << 20)

// Where a service is.
struct http_service {
	const char *socket; // path of a unix socket; NULL: it is at host and port
	const char *host;   // NULL: "localhost" is what the service is called
	int port;
	const char *bundle, *cert,
		*key; // files in PEM: whom to trust, and the certificate to show. bundle NULL: no TLS; cert NULL: none
};

struct http_request {
	const char *method, *path; // the path with its query, quoted
	const char *type;          // of the body; NULL: there is none
	const void *body;
	size_t len;
	int file;                     // a descriptor whose bytes are the body; 0: it is body
	double idle;                  // seconds without a byte after which it fails; 0 is 30
	const atomic_bool *cancelled; // non-zero: it fails soon with ERROR_CANCELLED; may be NULL
	bool upgrade;                 // the connection is wanted for bytes of another kind
	// Takes the body of an answer that says yes, in pieces; -1 and err ends it. NULL: it is added to the text.
	int (*on_body)(const char *bytes, size_t len, void *data, struct error *err);
	void *data;
};

struct http_stream;

// Sends the request and reads the answer. Returns its status, also one that says no, whose body is added to text; -1
// and err when there was no answer. With upgrade and a status below 300 *stream is the connection, owned by the caller.
int http_call(const struct http_service *service, const struct http_request *request, struct str *text,
	struct http_stream **stream, struct error *err);

// A connection that carries bytes both ways now. As read(2) and write(2), no SIGPIPE; a descriptor that is made
// non-blocking is EAGAIN. pending: there are bytes to read that poll(2) does not know of. close takes NULL.
int http_stream_fd(const struct http_stream *stream);
ssize_t http_stream_read(struct http_stream *stream, void *bytes, size_t len);
ssize_t http_stream_write(struct http_stream *stream, const void *bytes, size_t len);
bool http_stream_pending(const struct http_stream *stream);
void http_stream_close(struct http_stream *stream);

#endif
