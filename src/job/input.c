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

// The last part of a path or address; "" when there is none.
static char *base_name(const char *from)
{
	size_t len = strlen(from);
	if (is_http(from)) {
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
	return mem_strndup(from + start, len - start);
}

static char *input_source(const struct base *b, const struct job_input *input)
{
	const struct yaml *node = yaml_find(input->place.node, "from");
	if (is_http(input->from))
		return mem_strdup(input->from);
	autofree char *quoted = yaml_quote(input->from);
	if (strstr(input->from, "://") || *input->from == '~') {
		yaml_error(node, b->err, "found %s for an input, expected a path (without '~') or an http:// or https:// address", quoted);
		return NULL;
	}
	return input_absolute(b->dir, input->from);
}

static char *input_path(const struct base *b, const struct job_input *input, const char *base)
{
	const struct yaml *node = yaml_find(input->place.node, input->path ? "path" : "from");
	autofree char *path = input->path ? clean_path(input->path) : mem_strdup(input->unpack ? "." : base);
	if (!strcmp(path, ".") && input->unpack)
		return steal(path);
	if (strcmp(path, ".") && fs_is_inside(path))
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
	if (!input->live || !(is_http(input->from) || input->unpack || input->sha256 || input->once))
		return 0;
	return yaml_error(yaml_find(input->place.node, "live"), b->err,
	        "found 'live' for %s, expected it only for a path of this machine, without 'unpack', 'sha256' and 'once'",
	        is_http(input->from) ? "an address"
	        : input->unpack      ? "an archive to unpack"
	                             : "an input with 'sha256' or 'once'");
}

static json_t *make_input(const struct base *b, const struct job_input *input)
{
	autofree char *from = check_live(b, input) ? NULL : input_source(b, input);
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
	        "from", from, "kind", is_http(from) ? "http" : input->live ? "live" : "path", "sha256", sha256, "unpack", input->unpack, "path", path, "once",
	        input->once);
}

// Two archives may be unpacked into one directory; anything else would overwrite.
static int check_path(const struct base *b, const json_t *before, const json_t *input, const struct yaml *node)
{
	size_t i;
	json_t *other;
	const char *path = json_string_value(json_object_get(input, "path"));
	json_array_foreach(before, i, other)
	{
		bool both = json_is_true(json_object_get(input, "unpack")) && json_is_true(json_object_get(other, "unpack"));
		if (both || strcmp(path, json_string_value(json_object_get(other, "path"))))
			continue;
		return yaml_error(
		        node, b->err, "found the path '%s', which is that of inputs[%zu], too, expected a 'path' of its own", path, i);
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
