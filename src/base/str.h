// Text: a growing buffer and the few look-ups every module needs.
// No encodings beyond "is this valid UTF-8".
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

struct str {
	char *text; // always ends with NUL once something was added; NULL before
	size_t len, size;
};

void str_fini(struct str *s);
void str_add(struct str *s, const void *bytes, size_t len);
void str_puts(struct str *s, const char *text);
void str_printf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *str_steal(struct str *s); // the text ("" if empty), owned by the caller; s is empty afterwards
void str_cleanup(struct str *s);
#define autostr __attribute__((cleanup(str_cleanup)))

bool str_starts(const char *text, const char *prefix);
bool str_ends(const char *text, const char *suffix);

// Length of the longest prefix of bytes that is valid UTF-8 (len itself when all of it is).
size_t str_utf8_valid(const char *bytes, size_t len);

// A copy in which every byte that is no valid UTF-8 (and NUL) is U+FFFD. Owned by the caller.
char *str_utf8_clean(const char *bytes, size_t len);

// "1.5 MiB", "12 s", "3 min 20 s": for people. The caller owns the text.
char *str_bytes(double bytes);
char *str_seconds(double seconds);

// Lower-case hexadecimal, NUL-ended; out has room for 2*len+1.
void str_hex(char *out, const unsigned char *bytes, size_t len);

#endif
