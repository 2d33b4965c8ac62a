// URLs of http and https: taken apart, and where a redirect leads.
// It opens no connection and decides nothing about what may be fetched.
#ifndef BASE_URL_H
#define BASE_URL_H

#include "base/error.h"

#include <stdbool.h>

struct url {
	bool tls;   // https
	char *host; // without the brackets of an IPv6 address
	int port;
	char *path; // with the query, without the fragment; begins with '/' and has no "." and ".." segments
};

// -1 and err, which names the text. url_fini is to be called in either case.
int url_parse(const char *text, struct url *url, struct error *err);
void url_fini(struct url *url);

// "host", "host:8080", "[::1]:8080": the port only where it is not the usual one. Owned by the caller.
char *url_authority(const struct url *url);

// The reference (of a Location header) as an absolute URL, seen from base (RFC 3986, section 5.2). It may have any
// scheme and need not parse. Owned by the caller.
char *url_resolve(const struct url *base, const char *reference);

char *url_quote(const char *text); // as part of a path or query; owned by the caller

#endif
