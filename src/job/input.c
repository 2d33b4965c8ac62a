#include "job/input.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct base {
	const char *dir;
	struct error *err;
};

// "./a//b/./c/" is "a/b/c", "." is ".": what is not needed goes, ".." stays.
static char *clean_path(const char *path)
{
	autostr struct str s = {0};
	if (*path == '/')
		str_puts(&s, "/");
	while (*path) {
		size_t len = strcspn(path, "/");
		if (len && !(len == 1 && *path == '.')) {
			if (s.len && s.text[s.len - 1] != '/')
				str_puts(&s, "/");
			str_add(&s, path, len);
		}
		path += len + (path[len] == '/');
	}
	return s.len ? str_steal(&s) : mem_strdup(".");
}

char *input_absolute(const char *dir, const char *path)
{
	autofree char *joined = fs_join(dir, path);
	return clean_path(joined);
}

static bool is_http(const char *from)
{
	return str_starts(from, "http://") || str_starts(from, "https://");
}

static bool is_git(const char *from)
{
	return str_starts(from, "git+");
}

// A secret in the address would be in the plan and in the events. And what git takes for an option or a pattern is no
// name of a commit.
static bool git_is_right(const char *from)
{
	static const char *const schemes[] = {"git+https://", "git+http://", "git+ssh://", "git+file://"};
	const char *rest = NULL;
	for (size_t i = 0; i < countof(schemes) && !rest; i++)
		rest = str_starts(from, schemes[i]) ? from + strlen(schemes[i]) : NULL;
	if (!rest || !*rest)
		return false;
	const char *at = memchr(rest, '@', strcspn(rest, "/#"));
	if (at && (str_starts(from, "git+http") || memchr(rest, ':', (size_t)(at - rest)) || *rest == '-'))
		return false;
	const char *ref = strchr(rest, '#');
	return !ref || (ref[1] && ref[1] != '-' && !strpbrk(ref + 1, " ~^:?*[\\#") && !strstr(ref, ".."));
}

static const char *kind_of(const char *from)
{
	return is_git(from) ? "git" : is_http(from) ? "http" : "path";
}

// The last part of a path or address, of a repository without its ".git"; "" when there is none.
static char *base_name(const char *from)
{
	size_t len = strlen(from);
	bool git = is_git(from);
	if (is_http(from) || git) {
		from = strstr(from, "://") + 3;
		len = strcspn(from, "?#");
		const char *slash = memchr(from, '/', len);
		if (!slash)
			return mem_strdup("");
		len -= (size_t)(slash - from);
		from = slash;
	}
	while (len && from[len - 1] == '/')
		len--;
	size_t start = len;
	while (start && from[start - 1] != '/')
		start--;
	autofree char *last = mem_strndup(from + start, len - start);
	if (git && str_ends(last, ".git"))
		last[strlen(last) - strlen(".git")] = '\0';
	return steal(last);
}

static char *input_source(const struct base *b, const struct job_input *input)
{
	const struct yaml *node = yaml_find(input->place.node, "from");
	if (is_http(input->from))
		return mem_strdup(input->from);
	autofree char *quoted = yaml_quote(input->from);
	if (is_git(input->from) && git_is_right(input->from))
		return mem_strdup(input->from);
	if (is_git(input->from)) {
		yaml_error(node, b->err,
			"found %s, expected git+https://HOST/PATH#REF (or git+ssh, git+http, git+file), REF being a "
			"branch, a tag "
			"or a whole commit, and no password or token in it: git knows how to keep those",
			quoted);
		return NULL;
	}
	if (strstr(input->from, "://") || *input->from == '~') {
		yaml_error(node, b->err,
			"found %s for an input, expected a path (without '~'), an http:// or https:// address, or a "
			"git+https:// one",
			quoted);
		return NULL;
	}
	return input_absolute(b->dir, input->from);
}

static char *input_path(const struct base *b, const struct job_input *input, const char *base)
{
	const struct yaml *node = yaml_find(input->place.node, input->path ? "path" : "from");
	autofree char *path = input->path ? clean_path(input->path) : mem_strdup(input->unpack ? "." : base);
	if (strcmp(path, ".") == 0 && input->unpack)
		return steal(path);
	if (strcmp(path, ".") != 0 && fs_is_inside(path))
		return steal(path);
	autofree char *quoted = yaml_quote(input->path ? input->path : input->from);
	yaml_error(node, b->err,
		input->path ? "found the path %s, expected a relative path below the data directory, without '..'"
			    : "found %s, which has no last part to name it by, expected the key 'path' beside it",
		quoted);
	return NULL;
}

// What is live is no copy: nothing can be done to it.
static int check_live(const struct base *b, const struct job_input *input)
{
	if (!input->live ||
		!(is_http(input->from) || is_git(input->from) || input->unpack || input->sha256 || input->once))
		return 0;
	return yaml_error(yaml_find(input->place.node, "live"), b->err,
		"found 'live' for %s, expected it only for a path of this machine, without 'unpack', 'sha256' and "
		"'once'",
		is_http(input->from) || is_git(input->from) ? "an address"
		: input->unpack                             ? "an archive to unpack"
							    : "an input with 'sha256' or 'once'");
}

// What is right for a file alone.
static int check_git(const struct base *b, const struct job_input *input)
{
	const char *key = !is_git(input->from) ? NULL : input->unpack == 1 ? "unpack" : input->sha256 ? "sha256" : NULL;
	return key ? yaml_error(yaml_find(input->place.node, key), b->err,
			     "found '%s' of an input from git, which is a directory, expected it of a file only", key)
		   : 0;
}

static json_t *make_input(const struct base *b, const struct job_input *input)
{
	autofree char *from = check_live(b, input) || check_git(b, input) ? NULL : input_source(b, input);
	if (!from)
		return NULL;
	autofree char *base = base_name(from);
	autofree char *path = input_path(b, input, base);
	if (!path)
		return NULL;
	autofree char *sha256 = input->sha256 ? mem_strdup(input->sha256) : NULL;
	for (char *c = sha256; c && *c; c++)
		*c = *c >= 'A' && *c <= 'F' ? (char)(*c - 'A' + 'a') : *c;
	return mem_json("{s:s, s:s, s:s, s:s?, s:b, s:s, s:b}", "name",
		input->name ? input->name
		: *base     ? base
			    : from,
		"from", from, "kind", input->live ? "live" : kind_of(from), "sha256", sha256, "unpack", input->unpack,
		"path", path, "once", input->once);
}

// Two archives may be unpacked into one directory; anything else would overwrite.
static int check_path(const struct base *b, const json_t *before, const json_t *input, const struct yaml *node)
{
	size_t i;
	json_t *other;
	const char *path = json_string_value(json_object_get(input, "path"));
	json_array_foreach (before, i, other) {
		bool both = json_is_true(json_object_get(input, "unpack")) &&
			    json_is_true(json_object_get(other, "unpack"));
		if (both || strcmp(path, json_string_value(json_object_get(other, "path"))) != 0)
			continue;
		return yaml_error(node, b->err,
			"found the path '%s', which is that of inputs[%zu], too, expected a 'path' of its own", path,
			i);
	}
	return 0;
}

json_t *input_list(const struct job *job, const char *dir, struct error *err)
{
	struct base b = {dir, err};
	autojson json_t *list = json_array();
	const struct job_input *inputs = job->inputs.items;
	for (size_t i = 0; i < job->inputs.count; i++) {
		json_t *input = make_input(&b, &inputs[i]);
		if (!input)
			return NULL;
		int rc = check_path(&b, list, input, inputs[i].place.node);
		json_array_append_new(list, input);
		if (rc)
			return NULL;
	}
	return steal(list);
}
