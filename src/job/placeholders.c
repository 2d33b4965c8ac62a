#include "job/placeholders.h"

#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define ROW(id, name, filled_by, index, in_setup, help)                                                                \
	[PLACEHOLDER_##id] = {PLACEHOLDER_##id, name, PLACEHOLDER_OF_##filled_by, index, in_setup, help}

const struct placeholder placeholders[PLACEHOLDER_COUNT] = {
	ROW(RANK, "rank", PLAN, 0, "no", "number of this rank, from 0"),
	ROW(SIZE, "size", PLAN, 0, "yes", "number of ranks"),
	ROW(LOCAL_RANK, "local_rank", PLAN, 0, "no", "number of this rank on its node, from 0"),
	ROW(NODE, "node", PLAN, 0, "yes", "number of the node, from 0"),
	ROW(NODES, "nodes", PLAN, 0, "yes", "number of nodes"),
	ROW(ROLE, "role", PLAN, 0, "yes", "role of the node; `worker` when there are no roles"),
	ROW(INDEX, "index", PLAN, 0, "yes", "number of this rank (in setup: of the node) within its role, from 0"),
	ROW(DATA, "data", NODE, 0, "yes", "the directory with the inputs"),
	ROW(OUT, "out", NODE, 0, "yes", "the directory in which the ranks start"),
	ROW(ADDR, "addr", NODE, 'K', "yes", "address of node K; `{addr}` is this node's address"),
	ROW(PORT, "port", NODE, 'R', "`{port[R]}`",
		"a free port reserved for rank R on its node; `{port}` is this rank's"),
	ROW(HOSTS, "hosts", NODE, 0, "yes", "addresses of all nodes, separated by commas"),
	ROW(HOSTFILE, "hostfile", NODE, 0, "yes", "path of a file with one address per line"),
};

const struct placeholder *placeholders_find(const char *name)
{
	for (size_t i = 0; i < PLACEHOLDER_COUNT; i++)
		if (strcmp(placeholders[i].name, name) == 0)
			return &placeholders[i];
	return NULL;
}

// --- texts ------------------------------------------------------------------------

enum { MAX_NAME = 32 };

// A placeholder at the start of text: {name} or {name[3]}. Its length, or 0.
static size_t placeholder(const char *text, char name[static MAX_NAME + 1], long *index)
{
	size_t len = 1;
	if (text[0] != '{' || !(islower((unsigned char)text[1]) || text[1] == '_'))
		return 0;
	while (islower((unsigned char)text[len]) || text[len] == '_')
		len++;
	if (len - 1 > MAX_NAME)
		return 0;
	memcpy(name, text + 1, len - 1);
	name[len - 1] = 0;
	*index = -1;
	if (text[len] == '[') {
		size_t digits = strspn(text + len + 1, "0123456789");
		if (!digits || digits > 9 || text[len + 1 + digits] != ']')
			return 0;
		*index = strtol(text + len + 1, NULL, 10);
		len += digits + 2;
	}
	return text[len] == '}' ? len + 1 : 0;
}

// Adds what stands at t to out; how many bytes of t that was, 0 on error.
static size_t expand_one(
	struct str *out, const char *t, int last, placeholders_lookup *lookup, void *data, struct error *err)
{
	char name[MAX_NAME + 1];
	long index;
	size_t len;
	if (t[0] == '$' && (len = placeholder(t + 1, name, &index))) {
		str_add(out, t, len + 1);
		return len + 1;
	}
	if (t[0] == '{' && (len = placeholder(t + 1, name, &index)) && t[len + 1] == '}') {
		str_add(out, last ? t + 1 : t, last ? len : len + 2);
		return len + 2;
	}
	len = placeholder(t, name, &index);
	if (len) {
		struct error why = {0};
		autofree char *value = lookup(name, index, data, &why);
		if (why.code) {
			error_set(err, why.code, "%s", why.text);
			return 0;
		}
		if (value)
			str_puts(out, value);
		else
			str_add(out, t, len);
		return len;
	}
	len = 1 + strcspn(t + 1, "${");
	str_add(out, t, len);
	return len;
}

char *placeholders_expand_text(const char *text, int last, placeholders_lookup *lookup, void *data, struct error *err)
{
	autostr struct str out = {0};
	while (*text) {
		size_t len = expand_one(&out, text, last, lookup, data, err);
		if (!len)
			return NULL;
		text += len;
	}
	return str_steal(&out);
}

// A new value for a string, or the expanded tree itself. NULL on error.
static json_t *expanded(json_t *value, int last, placeholders_lookup *lookup, void *data, struct error *err)
{
	if (!json_is_string(value))
		return placeholders_expand_tree(value, last, lookup, data, err) ? NULL : json_incref(value);
	autofree char *text = placeholders_expand_text(json_string_value(value), last, lookup, data, err);
	return text ? json_string(text) : NULL;
}

int placeholders_expand_tree(json_t *tree, int last, placeholders_lookup *lookup, void *data, struct error *err)
{
	const char *key;
	json_t *value;
	size_t i;
	json_array_foreach (tree, i, value) {
		json_t *fresh = expanded(value, last, lookup, data, err);
		if (!fresh || json_array_set_new(tree, i, fresh))
			return -1;
	}
	json_object_foreach (tree, key, value) {
		json_t *fresh = expanded(value, last, lookup, data, err);
		if (!fresh || json_object_set_new(tree, key, fresh))
			return -1;
	}
	return 0;
}
