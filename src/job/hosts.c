#include "job/hosts.h"

#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { HOSTS_MAX = 10000, DIGITS_MAX = 8, PATTERN_MAX = 1000 };

struct range {
	long first, last, step;
	int width;
};

// A number and where it ends; -1 when there is none.
static long number(const char **at)
{
	const char *begin = *at;
	char *end;
	if (!isdigit((unsigned char)*begin))
		return -1;
	long value = strtol(begin, &end, 10);
	*at = end;
	return end - begin > DIGITS_MAX ? -1 : value;
}

// "[0-15]" or "[01:16]" or "[0:10:2]"; *end is behind it.
static bool parse_range(const char *text, const char **end, struct range *range)
{
	const char *at = text + 1, *first = at;
	range->step = 1;
	range->first = number(&at);
	range->width = *first == '0' ? (int)(at - first) : 0;
	char separator = *at;
	if (range->first < 0 || (separator != '-' && separator != ':'))
		return false;
	at++;
	range->last = number(&at);
	if (separator == ':' && *at == ':') {
		at++;
		range->step = number(&at);
	}
	*end = at + 1;
	return *at == ']' && range->last >= range->first && range->step > 0;
}

static int expand(json_t *list, const char *head, const char *rest, struct error *err)
{
	const char *open = strchr(rest, '['), *end;
	if (!open) {
		if (json_array_size(list) >= HOSTS_MAX)
			return error_set(err, ERROR_USAGE, "found more than %d hosts", HOSTS_MAX);
		autofree char *name = mem_printf("%s%s", head, rest);
		json_array_append_new(list, json_string(name));
		return 0;
	}
	struct range range;
	if (!parse_range(open, &end, &range))
		return error_set(err, ERROR_USAGE,
			"found the range '%.*s', expected [FIRST-LAST], such as [0-15] or [01:16]",
			(int)strcspn(open, "]") + 1, open);
	for (long i = range.first; i <= range.last; i += range.step) {
		autofree char *name = mem_printf("%s%.*s%0*ld", head, (int)(open - rest), rest, range.width, i);
		if (expand(list, name, end, err))
			return -1;
	}
	return 0;
}

json_t *hosts_expand(const char *pattern, struct error *err)
{
	json_t *list = json_array();
	int rc = strlen(pattern) > PATTERN_MAX
			 ? error_set(err, ERROR_USAGE, "found a host of %zu characters, expected at most %d",
				   strlen(pattern), PATTERN_MAX)
			 : expand(list, "", pattern, err);
	if (!rc)
		return list;
	json_decref(list);
	return NULL;
}

int hosts_check_name(const char *name, struct error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:%";
	if (*name && *name != '-' && name[strspn(name, allowed)] == 0)
		return 0;
	return error_set(err, ERROR_USAGE,
		"found the host '%s', expected a name or address of letters, digits and - . _ : %%", name);
}

// ":22" behind the name; a name with several colons is an IPv6 address.
static int split_port(char *name, long *port, struct error *err)
{
	char *colon = strrchr(name, ':');
	*port = 0;
	if (!colon || strchr(name, ':') != colon)
		return 0;
	const char *at = colon + 1;
	*port = number(&at);
	if (*at || *port < 1 || *port > 65535)
		return error_set(err, ERROR_USAGE, "found the port '%s', expected a number from 1 to 65535", colon + 1);
	*colon = 0;
	return 0;
}

static int add_one(json_t *list, const char *user, char *name, struct error *err)
{
	long port = 0;
	size_t len = strlen(name);
	// An IPv6 address that is followed by a port stands in brackets.
	if (*name == '[' && strchr(name, ']')) {
		char *close = strchr(name, ']');
		if (close[1] && split_port(close, &port, err))
			return -1;
		*close = 0;
		memmove(name, name + 1, len);
	} else if (split_port(name, &port, err))
		return -1;
	if (hosts_check_name(name, err))
		return -1;
	json_t *host = mem_json("{s:s, s:s*}", "host", name, "user", user);
	if (port)
		json_object_set_new(host, "port", json_integer(port));
	json_array_append_new(list, host);
	return 0;
}

int hosts_add(json_t *list, const char *text, struct error *err)
{
	const char *sign = strrchr(text, '@');
	autofree char *user = sign ? mem_strndup(text, (size_t)(sign - text)) : NULL;
	const char *name = sign ? sign + 1 : text;
	if (user && (!*user || *user == '-' || strpbrk(user, " \t@'\"\\")))
		return error_set(err, ERROR_USAGE, "found the user '%s', expected a name", user);
	bool is_v6 =
		*name == '[' && strchr(name, ':') && strchr(name, ':') != strrchr(name, ':') && !strchr(name + 1, '[');
	struct error why = {0};
	autojson json_t *names = is_v6 ? mem_json("[s]", name) : hosts_expand(name, &why);
	if (!names)
		return error_set(err, ERROR_USAGE, "%s", why.text);
	size_t i;
	json_t *one;
	json_array_foreach (names, i, one) {
		autofree char *copy = mem_strdup(json_string_value(one));
		if (add_one(list, user, copy, err))
			return -1;
	}
	return 0;
}
