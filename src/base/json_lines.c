#include "base/json_lines.h"

#include "base/mem.h"

#include <string.h>

enum { LINE_BYTES_MAX = 8 << 20 };

static int take_line(struct json_lines *l, const char *text, size_t len, struct error *err)
{
	autojson json_t *line = json_loadb(text, len, 0, NULL);
	l->refused = json_is_object(line) && l->on_line(line, l->data, err);
	return l->refused ? -1 : 0;
}

int json_lines_add(struct json_lines *l, const char *bytes, size_t len, struct error *err)
{
	for (const char *nl; (nl = memchr(bytes, '\n', len));) {
		str_add(&l->rest, bytes, (size_t)(nl - bytes));
		if (take_line(l, l->rest.text, l->rest.len, err))
			return -1;
		l->rest.len = 0;
		len -= (size_t)(nl + 1 - bytes);
		bytes = nl + 1;
	}
	if (l->rest.len + len > LINE_BYTES_MAX)
		return error_set(err, ERROR_SYSTEM, "a line of the answer is longer than %d bytes", LINE_BYTES_MAX);
	str_add(&l->rest, bytes, len);
	return 0;
}

int json_lines_end(struct json_lines *l, struct error *err)
{
	int rc = l->rest.len ? take_line(l, l->rest.text, l->rest.len, err) : 0;
	l->rest.len = 0;
	return rc;
}

void json_lines_fini(struct json_lines *l)
{
	str_fini(&l->rest);
}
