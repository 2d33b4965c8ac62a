// Proxies: how one is named, and which one the environment wants for a server, as curl and Go's programs read it.
// It opens no connection: base/http_stream.h goes through what is found here.
#ifndef BASE_PROXY_H
#define BASE_PROXY_H

#include "base/error.h"

#include <stdbool.h>

enum proxy_kind { PROXY_HTTP, PROXY_SOCKS5 }; // CONNECT of HTTP; RFC 1928

struct proxy {
	enum proxy_kind kind;
	bool tls;   // it is itself spoken to by TLS ("https://")
	char *host; // without the brackets of an IPv6 address
	int port;
	char *user, *password; // NULL: none is given
	char *place;           // "http://proxy:3128", for errors: without credentials
};

// "http://", "https://", "socks5://" or "socks5h://" [USER[:PASSWORD]@]HOST[:PORT]; without a scheme it is http. -1 and
// err, which does not show the credentials. proxy_fini is to be called in either case.
int proxy_parse(const char *text, struct proxy *proxy, struct error *err);
void proxy_fini(struct proxy *proxy);

// The proxy that HTTPS_PROXY (HTTP_PROXY when not tls; either in lower case too) names for this server, unless NO_PROXY
// excludes it or it is this machine itself. NULL: none. Not owned.
const char *proxy_find(bool tls, const char *host, int port);

#endif
