#include "base/path_text.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "0123456789abcdef";

static bool is_plain(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)bytes[i] < 0x20 || bytes[i] == 0x7f || bytes[i] == '\\')
			return false;
	return true;
}

char *path_text_encode(const char *path)
{
	size_t len = strlen(path), valid = str_utf8_valid(path, len);
	if (valid == len && is_plain(path, len))
		return mem_strdup(path);
	struct str out = {0};
	for (size_t at = 0; at < len; at++) {
		if (at >= valid)
			valid = at + str_utf8_valid(path + at, len - at);
		if (at < valid && is_plain(path + at, 1))
			str_add(&out, path + at, 1);
		else
			str_printf(&out, "\\x%02x", (unsigned char)path[at]);
	}
	return str_steal(&out);
}

static int digit_value(char c)
{
	const char *found = c ? strchr(digits, c) : NULL;
	return found ? (int)(found - digits) : -1;
}

// The byte that \xNN stands for, or 0.
static char read_escape(const char *text)
{
	int high = text[1] == 'x' ? digit_value(text[2]) : -1;
	int low = high >= 0 ? digit_value(text[3]) : -1;
	return low >= 0 ? (char)(high * 16 + low) : 0;
}

char *path_text_decode(const char *text)
{
	struct str out = {0};
	for (const char *at = text; *at; at++) {
		char c = *at == '\\' ? read_escape(at) : *at;
		if (!c) {
			str_fini(&out);
			return NULL;
		}
		str_add(&out, &c, 1);
		at += *at == '\\' ? 3 : 0;
	}
	autofree char *path = str_steal(&out), *again = path_text_encode(path);
	return strcmp(again, text) == 0 ? steal(path) : NULL;
}
