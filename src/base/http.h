// Downloads: http and https to a descriptor, in a process that has nothing else to do meanwhile.
// It is no client for anything but GET, and belongs into a forked child: it blocks.
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include "base/error.h"

#include <stdint.h>

struct http_options {
	double idle; // seconds without a byte after which it fails; 0 is 30
	// Called as bytes arrive; total is 0 when the server has not said. May be NULL.
	void (*on_progress)(uint64_t bytes, uint64_t total, void *data);
	void *data;
};

// Writes the body to fd; *bytes (may be NULL) gets its length. Follows up to 10 redirects, but none from https to http. A server's
// certificate is checked against the file SSL_CERT_FILE names or the system's bundle. -1 and err, which names the url, also for a status
// other than 200 and for a body that ends early. The options may be NULL.
int http_get(const char *url, int fd, const struct http_options *options, uint64_t *bytes, struct error *err);

#endif
