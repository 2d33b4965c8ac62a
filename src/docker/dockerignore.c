#include "docker/dockerignore.h"

#include "base/mem.h"

#include <fnmatch.h>
#include <string.h>

// Name by name; a pattern that ends before the path does names a directory above it.
static bool covers(const char *pattern, const char *path)
{
	size_t np = strcspn(pattern, "/"), nn = strcspn(path, "/");
	const char *pattern_rest = pattern[np] ? pattern + np + 1 : NULL, *path_rest = path[nn] ? path + nn + 1 : NULL;
	if (np == 2 && strncmp(pattern, "**", 2) == 0)
		return !pattern_rest || covers(pattern_rest, path) || (path_rest && covers(pattern, path_rest));
	autofree char *p = mem_strndup(pattern, np), *n = mem_strndup(path, nn);
	if (fnmatch(p, n, 0))
		return false;
	return !pattern_rest || (path_rest && covers(pattern_rest, path_rest));
}

// The next line's pattern without blanks, "!", leading "/" or "./" and trailing "/"; owned by the caller. NULL at the
// end; "" is no pattern.
static char *next_pattern(const char **text, bool *back)
{
	if (!**text)
		return NULL;
	size_t len = strcspn(*text, "\n");
	autofree char *line = mem_strndup(*text, len);
	*text += len + ((*text)[len] == '\n');
	char *at = line + strspn(line, " \t");
	for (size_t end = strlen(at); end && strchr(" \t\r", at[end - 1]); end--)
		at[end - 1] = 0;
	*back = *at == '!';
	at += *back;
	while (*at == '/' || (at[0] == '.' && at[1] == '/'))
		at++;
	for (size_t end = strlen(at); end && at[end - 1] == '/'; end--)
		at[end - 1] = 0;
	return mem_strdup(*at == '#' || strcmp(at, ".") == 0 ? "" : at);
}

bool dockerignore_match(const char *text, const char *path)
{
	bool out = false, back;
	for (char *pattern; (pattern = next_pattern(&text, &back));) {
		if (*pattern && out == back && covers(pattern, path))
			out = !back;
		mem_cleanup_free(&pattern);
	}
	return out;
}

bool dockerignore_returns(const char *text)
{
	bool some = false, back;
	for (char *pattern; (pattern = next_pattern(&text, &back));) {
		some = some || back;
		mem_cleanup_free(&pattern);
	}
	return some;
}
