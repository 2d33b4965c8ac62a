#include "base/url.h"

#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { URL_BYTES_MAX = 8 * 1024 };

void url_fini(struct url *url)
{
	free(url->host);
	free(url->path);
	*url = (struct url){0};
}

static int parse_port(const char *digits, const char *text, struct error *err)
{
	char *end;
	long port = strtol(digits, &end, 10);
	return *digits < '0' || *digits > '9' || *end || port < 1 || port > 65535
		       ? error_set(err, ERROR_SYSTEM, "'%s' has a bad port", text)
		       : (int)port;
}

static int check_bytes(const char *text, struct error *err)
{
	size_t len = strlen(text);
	if (len > URL_BYTES_MAX)
		return error_set(err, ERROR_SYSTEM, "a url of %zu bytes, expected at most %d", len, URL_BYTES_MAX);
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at <= ' ' || *at == 0x7f)
			return error_set(err, ERROR_SYSTEM, "'%s' has a blank or control character", text);
	return 0;
}

// The authority is changed on the way.
static int parse_authority(char *authority, struct url *url, const char *text, struct error *err)
{
	if (strchr(authority, '@'))
		return error_set(err, ERROR_SYSTEM, "'%s' holds a user name, which is not supported", text);
	char *host = authority, *rest = authority + strcspn(authority, ":");
	if (*host == '[') {
		rest = strchr(++host, ']');
		if (!rest)
			return error_set(err, ERROR_SYSTEM, "'%s' has a '[' without a ']'", text);
		*rest++ = '\0';
	}
	url->port = url->tls ? 443 : 80;
	if (*rest == ':' && (url->port = parse_port(rest + 1, text, err)) < 0)
		return -1;
	if (*rest == ':')
		*rest = '\0';
	if (*host == '\0' || *rest)
		return error_set(err, ERROR_SYSTEM, "'%s' has no host", text);
	url->host = mem_strdup(host);
	return 0;
}

// Removes the segments "." and ".." of the part before the query, which begins with '/'.
static void remove_dots(char *path)
{
	size_t end = strcspn(path, "?"), out = 0;
	for (size_t at = 0, len; at < end; at += len) {
		len = 1 + strcspn(path + at + 1, "/?");
		bool up = len == 3 && memcmp(path + at, "/..", 3) == 0, here = len == 2 && path[at + 1] == '.';
		while (up && out > 0 && path[--out] != '/')
			;
		if (!up && !here) {
			memmove(path + out, path + at, len);
			out += len;
		} else if (at + len == end)
			path[out++] = '/'; // the last segment: a directory is meant
	}
	memmove(path + out, path + end, strlen(path + end) + 1);
}

int url_parse(const char *text, struct url *url, struct error *err)
{
	*url = (struct url){0};
	if (check_bytes(text, err) < 0)
		return -1;
	url->tls = strncasecmp(text, "https://", 8) == 0;
	if (!url->tls && strncasecmp(text, "http://", 7) != 0)
		return error_set(err, ERROR_SYSTEM, "'%s' is neither http:// nor https://", text);
	const char *at = text + (url->tls ? 8 : 7);
	size_t len = strcspn(at, "/?#");
	autofree char *authority = mem_strndup(at, len);
	at += len;
	url->path = mem_printf("%s%.*s", *at == '/' ? "" : "/", (int)strcspn(at, "#"), at);
	remove_dots(url->path);
	return parse_authority(authority, url, text, err);
}

char *url_authority(const struct url *url)
{
	bool v6 = strchr(url->host, ':'), usual = url->port == (url->tls ? 443 : 80);
	autofree char *port = usual ? mem_strdup("") : mem_printf(":%d", url->port);
	return mem_printf("%s%s%s%s", v6 ? "[" : "", url->host, v6 ? "]" : "", port);
}

// Only what stands before the first ':' counts: a query may hold a whole URL of its own.
static bool has_scheme(const char *reference)
{
	size_t len = 0;
	while (isalnum((unsigned char)reference[len]) || (reference[len] && strchr("+-.", reference[len])))
		len++;
	return isalpha((unsigned char)*reference) && reference[len] == ':';
}

// How much of the base's path stays before a reference that is none of a whole path.
static size_t kept_path(const struct url *base, const char *reference)
{
	size_t query = strcspn(base->path, "?");
	if (*reference == '?')
		return query;
	if (*reference == '#' || *reference == '\0')
		return strlen(base->path);
	return (size_t)((const char *)memrchr(base->path, '/', query) - base->path) + 1;
}

char *url_resolve(const struct url *base, const char *reference)
{
	const char *scheme = base->tls ? "https" : "http";
	if (has_scheme(reference))
		return mem_strdup(reference);
	if (str_starts(reference, "//"))
		return mem_printf("%s:%s", scheme, reference);
	autofree char *authority = url_authority(base);
	size_t kept = *reference == '/' ? 0 : kept_path(base, reference);
	return mem_printf("%s://%s%.*s%s", scheme, authority, (int)kept, base->path, reference);
}

char *url_quote(const char *text)
{
	autostr struct str s = {0};
	for (; *text; text++)
		if (isalnum((unsigned char)*text) || strchr("-._~", *text))
			str_add(&s, text, 1);
		else
			str_printf(&s, "%%%02X", (unsigned char)*text);
	return str_steal(&s);
}
