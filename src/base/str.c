#include "base/str.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void str_fini(struct str *s)
{
	free(s->text);
	*s = (struct str){0};
}

void str_cleanup(struct str *s)
{
	str_fini(s);
}

static void reserve(struct str *s, size_t more)
{
	if (s->len + more + 1 <= s->size)
		return;
	size_t size = s->size ? s->size : 64;
	while (size < s->len + more + 1)
		size *= 2;
	s->text = mem_resize(s->text, size);
	s->size = size;
}

void str_add(struct str *s, const void *bytes, size_t len)
{
	reserve(s, len);
	if (len)
		memcpy(s->text + s->len, bytes, len);
	s->len += len;
	s->text[s->len] = '\0';
}

void str_puts(struct str *s, const char *text)
{
	str_add(s, text, strlen(text));
}

void str_printf(struct str *s, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *text = NULL;
	int len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len >= 0)
		str_add(s, text, (size_t)len);
	free(text);
}

char *str_steal(struct str *s)
{
	char *text = s->text ? s->text : mem_strdup("");
	*s = (struct str){0};
	return text;
}

bool str_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *text, const char *suffix)
{
	size_t nt = strlen(text), ns = strlen(suffix);
	return nt >= ns && memcmp(text + nt - ns, suffix, ns) == 0;
}

// Length of the valid UTF-8 sequence at s (RFC 3629: shortest form, no surrogates, at most U+10FFFF), 0 when there is
// none.
static size_t sequence(const unsigned char *s, size_t len)
{
	if (s[0] < 0x80)
		return 1;
	size_t n = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
		(s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

size_t str_utf8_valid(const char *bytes, size_t len)
{
	size_t at = 0;
	while (at < len) {
		size_t n = sequence((const unsigned char *)bytes + at, len - at);
		if (n == 0)
			break;
		at += n;
	}
	return at;
}

char *str_utf8_clean(const char *bytes, size_t len)
{
	struct str out = {0};
	for (size_t at = 0; at < len;) {
		size_t n = bytes[at] ? sequence((const unsigned char *)bytes + at, len - at) : 0;
		if (n)
			str_add(&out, bytes + at, n);
		else
			str_puts(&out, "\xef\xbf\xbd");
		at += n ? n : 1;
	}
	return str_steal(&out);
}

char *str_bytes(double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	size_t u = 0;
	while (bytes >= 1024 && u + 1 < countof(units)) {
		bytes /= 1024;
		u++;
	}
	return mem_printf(u == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
}

char *str_seconds(double seconds)
{
	if (seconds < 1)
		return mem_printf("%.0f ms", seconds * 1000);
	if (seconds < 60)
		return mem_printf("%.1f s", seconds);
	long s = (long)(seconds + 0.5);
	if (s < 3600)
		return mem_printf("%ld min %ld s", s / 60, s % 60);
	return mem_printf("%ld h %ld min", s / 3600, s % 3600 / 60);
}

void str_hex(char *out, const unsigned char *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}
