// HTTP/1.1: downloads to a descriptor, and requests to a service behind a unix socket, TCP or TLS.
// It blocks: it belongs into a forked child or a thread of its own. It has no cookies and no cache.
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include "base/error.h"
#include "base/http_stream.h"
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

struct http_request {
	const char *method, *path; // the path with its query, quoted
	const char *type;          // of the body; NULL: there is none
	const void *body;
	size_t len;
	int file;                     // a descriptor whose bytes are the body; 0: it is body
	double idle;                  // seconds without a byte after which it fails; 0 is 30
	const atomic_bool *cancelled; // non-zero: it fails soon with ERROR_CANCELLED; may be NULL
	const char *upgrade;          // the protocol that the connection is wanted for, "tcp"; NULL: it stays HTTP
	const char *fields;           // more of the header: lines that end with "\r\n"; may be NULL
	// Is told the fields of the final answer's header; may be NULL.
	void (*on_field)(const char *name, const char *value, void *data);
	bool *hopeless; // says after -1 whether another try is in vain (see http_stream_open); may be NULL
	// Takes the body of an answer that says yes, in pieces; -1 and err ends it. NULL: it is added to the text.
	int (*on_body)(const char *bytes, size_t len, void *data, struct error *err);
	void *data;
};

// Sends the request and reads the answer. Returns its status, also one that says no, whose body is added to text; -1
// and err when there was no answer. With upgrade and a status below 300 *stream is the connection, owned by the caller.
// A kept connection that the server has closed in between is no answer: the request goes over a new one.
int http_call(const struct http_service *service, const struct http_request *request, struct str *text,
	struct http_stream **stream, struct error *err);

#endif
