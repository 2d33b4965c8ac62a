#include "base/proxy.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/url.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

void proxy_fini(struct proxy *p)
{
	free(p->host);
	free(p->user);
	free(p->password);
	free(p->place);
	*p = (struct proxy){0};
}

// --- its name ---------------------------------------------------------------

static const struct scheme {
	const char *name;
	enum proxy_kind kind;
	bool tls;
	int port;
} schemes[] = {
	{"http", PROXY_HTTP, false, 80},
	{"https", PROXY_HTTP, true, 443},
	{"socks5", PROXY_SOCKS5, false, 1080},
	{"socks5h", PROXY_SOCKS5, false, 1080},
};

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

// Undoes percent-encoding. NULL when it is none, or has a byte that no name may have.
static char *unquote(const char *text, size_t len)
{
	autofree char *out = mem_alloc(len + 1);
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		int byte = (unsigned char)text[i];
		if (text[i] == '%') {
			int high = i + 2 < len ? hex_digit(text[i + 1]) : -1,
			    low = i + 2 < len ? hex_digit(text[i + 2]) : -1;
			if (high < 0 || low < 0)
				return NULL;
			byte = high * 16 + low;
			i += 2;
		}
		if (byte < ' ' || byte == 0x7f)
			return NULL;
		out[n++] = (char)byte;
	}
	return steal(out);
}

static int take_user(struct proxy *p, const char *text, size_t len)
{
	const char *colon = memchr(text, ':', len);
	size_t name = colon ? (size_t)(colon - text) : len;
	p->user = unquote(text, name);
	p->password = colon ? unquote(colon + 1, len - name - 1) : mem_strdup("");
	return p->user && p->password ? 0 : -1;
}

static const struct scheme *find_scheme(const char *text, size_t len)
{
	for (size_t i = 0; i < countof(schemes); i++)
		if (strlen(schemes[i].name) == len && strncasecmp(text, schemes[i].name, len) == 0)
			return &schemes[i];
	return NULL;
}

int proxy_parse(const char *text, struct proxy *p, struct error *err)
{
	*p = (struct proxy){0};
	const char *mark = strstr(text, "://");
	const struct scheme *scheme = mark ? find_scheme(text, (size_t)(mark - text)) : &schemes[0];
	const char *rest = mark ? mark + 3 : text;
	size_t len = strcspn(rest, "/?#");
	const char *at = memrchr(rest, '@', len);
	const char *host = at ? at + 1 : rest;
	autofree char *authority = mem_strndup(host, len - (size_t)(host - rest));
	if (strchr(rest + len, '@')) // what stands before it may be half of a password
		return error_set(err, ERROR_USAGE,
			"the user name of a proxy has one of '/', '?' and '#', expected %%2F, %%3F and %%23");
	if (!scheme)
		return error_set(err, ERROR_USAGE, "the proxy '%.*s://%.200s' is neither http, https nor socks5",
			(int)(mark - text), text, authority);
	if (at && take_user(p, rest, (size_t)(at - rest)) < 0)
		return error_set(err, ERROR_USAGE, "the user name of the proxy '%.200s' is not right", authority);
	// A url of http with the same host and port.
	autofree char *same = mem_printf("http://%s", authority);
	const char *tail = strrchr(authority, ']') ?: authority;
	bool named = strchr(tail, ':');
	struct url url;
	int rc = url_parse(same, &url, err);
	if (rc < 0) {
		error_wrap(err, "the proxy '%.200s' is not right", authority);
		if (err)
			err->code = ERROR_USAGE;
	} else {
		p->kind = scheme->kind;
		p->tls = scheme->tls;
		p->port = named ? url.port : scheme->port;
		p->host = steal(url.host);
		p->place = mem_printf("%s://%s", scheme->name, authority);
	}
	url_fini(&url);
	return rc;
}

// --- the environment --------------------------------------------------------

static bool parse_address(const char *text, unsigned char bytes[16], int *bits)
{
	*bits = inet_pton(AF_INET, text, bytes) == 1 ? 32 : inet_pton(AF_INET6, text, bytes) == 1 ? 128 : 0;
	return *bits > 0;
}

static bool same_bits(const unsigned char *a, const unsigned char *b, int bits)
{
	int whole = bits / 8, rest = bits % 8;
	return memcmp(a, b, (size_t)whole) == 0 &&
	       (rest == 0 || ((a[whole] ^ b[whole]) & (unsigned char)(0xff00 >> rest)) == 0);
}

static bool is_this_machine(const char *host)
{
	unsigned char bytes[16];
	int bits;
	static const unsigned char v6[16] = {[15] = 1};
	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (!parse_address(host, bytes, &bits))
		return false;
	return bits == 32 ? bytes[0] == 127 : memcmp(bytes, v6, 16) == 0;
}

// "10.0.0.0/8", "10.0.0.1".
static bool address_matches(const char *item, const char *host)
{
	unsigned char wanted[16], have[16];
	int bits, length, most;
	if (!parse_address(host, have, &bits))
		return false;
	const char *slash = strchr(item, '/');
	autofree char *network = mem_strndup(item, slash ? (size_t)(slash - item) : strlen(item));
	if (!parse_address(network, wanted, &most) || most != bits)
		return false;
	char *end = "";
	length = slash ? (int)strtol(slash + 1, &end, 10) : bits;
	return !*end && (!slash || slash[1]) && length >= 0 && length <= bits && same_bits(wanted, have, length);
}

// "example.com" is the name and what is below it, ".example.com" (or "*.example.com") only what is below.
static bool name_matches(const char *item, const char *host)
{
	if (str_starts(item, "*."))
		item++;
	size_t have = strlen(host), len = strlen(item);
	if (*item != '.' && strcasecmp(item, host) == 0)
		return true;
	if (len == 0 || have <= len || strcasecmp(host + have - len, item) != 0)
		return false;
	return *item == '.' || host[have - len - 1] == '.';
}

// A word of NO_PROXY, which may end with a port.
static bool item_matches(const char *word, size_t len, const char *host, int port)
{
	autofree char *item = mem_strndup(word, len);
	char *colon = strrchr(item, ':');
	if (strcmp(item, "*") == 0 || address_matches(item, host))
		return true;
	if (colon && (*item == '[' ? colon[-1] == ']' : strchr(item, ':') == colon)) {
		*colon = '\0';
		if (atoi(colon + 1) != port)
			return false;
	}
	size_t end = strlen(item);
	if (*item == '[' && item[end - 1] == ']') {
		item[end - 1] = '\0';
		return address_matches(item + 1, host);
	}
	return address_matches(item, host) || name_matches(item, host);
}

static bool is_excluded(const char *list, const char *host, int port)
{
	while (*list) {
		list += strspn(list, ", \t");
		size_t len = strcspn(list, ", \t");
		if (len > 0 && item_matches(list, len, host, port))
			return true;
		list += len;
	}
	return false;
}

static const char *either(const char *upper, const char *lower)
{
	const char *value = getenv(upper);
	if (!value || !*value)
		value = getenv(lower);
	return value && *value ? value : NULL;
}

const char *proxy_find(bool tls, const char *host, int port)
{
	const char *named = tls ? either("HTTPS_PROXY", "https_proxy") : either("HTTP_PROXY", "http_proxy");
	const char *none = either("NO_PROXY", "no_proxy");
	return !named || is_this_machine(host) || (none && is_excluded(none, host, port)) ? NULL : named;
}
