#include "tui/terminal_text.h"

#include <locale.h>
#include <string.h>
#include <wchar.h>

enum { TAB = 8, ESC = 0x1b, BEL = 0x07 };

// The terminal is taken to speak UTF-8 even where nobody has set a locale, as in most containers.
static locale_t enter_locale(void)
{
	static locale_t utf8;
	if (!utf8)
		utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	return uselocale(utf8);
}

// Length of the escape sequence at s: CSI up to its final byte, OSC and other strings up to BEL or ESC \, else ESC and
// one more.
static size_t escape(const char *s, size_t len)
{
	if (len < 2)
		return len;
	size_t at = 2;
	if (s[1] == '[') {
		while (at < len && (unsigned char)s[at] >= 0x20 && (unsigned char)s[at] < 0x40)
			at++;
		return at < len && (unsigned char)s[at] >= 0x40 && (unsigned char)s[at] < 0x7f ? at + 1 : at;
	}
	if (memchr("]PX^_", s[1], 5)) {
		while (at < len && s[at] != BEL && !(s[at] == ESC && at + 1 < len && s[at + 1] == '\\'))
			at++;
		return at == len ? at : s[at] == BEL ? at + 1 : at + 2;
	}
	while (at < len && (unsigned char)s[at - 1] >= 0x20 && (unsigned char)s[at - 1] < 0x30) // ESC ( B
		at++;
	return at;
}

static size_t utf8_length(const char *s, size_t len)
{
	size_t most = len < 4 ? len : 4;
	for (size_t n = 2; n <= most; n++)
		if (str_utf8_valid(s, n) == n)
			return n;
	return 0;
}

static wchar_t utf8_decode(const char *s, size_t n)
{
	wchar_t c = (unsigned char)s[0] & (0xff >> (n + 1));
	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)s[i] & 0x3f);
	return c;
}

// Marks that turn the direction of text could make the rest of the line say something else.
static bool is_direction(wchar_t c)
{
	return c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

struct piece {
	const char *text; // NULL: left out
	size_t len, columns, taken;
};

// The next thing of the text; `at` is the column it will stand in.
static struct piece next_piece(const char *s, size_t len, size_t at)
{
	static const char blanks[TAB + 1] = "        ";
	unsigned char c = (unsigned char)s[0];
	if (c >= 0x20 && c < 0x7f)
		return (struct piece){s, 1, 1, 1};
	if (c == '\t')
		return (struct piece){blanks, TAB - at % TAB, TAB - at % TAB, 1};
	if (c == ESC)
		return (struct piece){.taken = escape(s, len)};
	if (c < 0x80)
		return (struct piece){.taken = 1};
	size_t n = utf8_length(s, len);
	if (!n)
		return (struct piece){"?", 1, 1, 1};
	wchar_t wide = utf8_decode(s, n);
	int columns = wcwidth(wide);
	if (columns < 0)
		return (struct piece){"?", 1, 1, n};
	if (is_direction(wide))
		return (struct piece){.taken = n};
	return (struct piece){s, n, (size_t)columns, n};
}

// What stays visible of a line that goes back to its beginning.
static void visible(const char **bytes, size_t *len)
{
	while (*len && ((*bytes)[*len - 1] == '\r' || (*bytes)[*len - 1] == '\n'))
		--*len;
	const char *back = *len ? memrchr(*bytes, '\r', *len) : NULL;
	if (back) {
		*len -= (size_t)(back + 1 - *bytes);
		*bytes = back + 1;
	}
}

size_t terminal_text_add(struct str *out, const char *bytes, size_t len, size_t columns)
{
	locale_t old = enter_locale();
	visible(&bytes, &len);
	size_t used = 0, mark_len = out ? out->len : 0, mark = 0; // mark: the last place where "~" would fit
	while (len) {
		struct piece p = next_piece(bytes, len, used);
		if (used + p.columns > columns) {
			if (out) {
				out->len = mark_len;
				if (columns)
					str_puts(out, "~");
			}
			used = columns ? mark + 1 : 0;
			break;
		}
		if (out && p.text)
			str_add(out, p.text, p.len);
		used += p.columns;
		if (used < columns) {
			mark = used;
			mark_len = out ? out->len : 0;
		}
		bytes += p.taken;
		len -= p.taken;
	}
	uselocale(old);
	return used;
}

size_t terminal_text_width(const char *text, size_t len)
{
	return terminal_text_add(NULL, text, len, (size_t)-1);
}
