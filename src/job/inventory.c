#include "job/inventory.h"

#include "base/mem.h"
#include "base/str.h"
#include "job/hosts.h"
#include "job/yaml.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// A file of 16 MiB can name far more hosts by ranges, and groups that are nested as deep as it has lines.
enum { ALL_HOSTS_MAX = 100000, ALL_VALUES_MAX = 1000000, GROUP_LEVELS_MAX = 100 };

// Variables are objects of name -> [value, line]. Sets are objects of name -> true, in the order of the file.
struct inventory {
	const char *file;
	json_t *groups; // name -> {"vars", "hosts": set, "children": set, "parents": set}
	json_t *hosts;  // name -> {"vars", "groups": set}
	json_t *levels; // of groups: name -> how many levels there are from it down, 0 while that is looked at
	json_t *depths; // of groups: name -> how far below "all"
	json_t *merged; // set of groups as text -> the variables that hosts of just these groups get from them
	struct error *err;
};

static int complain(const struct inventory *v, int line, const char *text, const char *value)
{
	return error_set(v->err, ERROR_USAGE, "%s:%d: %s '%s'", v->file, line, text, value);
}

static json_t *group_of(struct inventory *v, const char *name)
{
	json_t *group = json_object_get(v->groups, name);
	if (group)
		return group;
	group = mem_json("{s:{}, s:{}, s:{}, s:{}}", "vars", "hosts", "children", "parents");
	json_object_set_new(v->groups, name, group);
	return group;
}

static json_t *part_of(const json_t *all, const char *name, const char *part)
{
	return json_object_get(json_object_get(all, name), part);
}

static void add_once(json_t *set, const char *name)
{
	if (!json_object_get(set, name))
		json_object_set_new(set, name, json_true());
}

static void add_child(struct inventory *v, const char *group, const char *child)
{
	add_once(json_object_get(group_of(v, group), "children"), child);
	add_once(json_object_get(group_of(v, child), "parents"), group);
}

static void set_var(json_t *vars, const char *name, const char *value, int line)
{
	json_object_set_new(vars, name, mem_json("[s, i]", value, line));
}

// Adds the hosts a pattern stands for to a group, all with these variables.
static int add_hosts(struct inventory *v, const char *group, const char *pattern, const json_t *vars, int line)
{
	struct error why = {0};
	autojson json_t *names = hosts_expand(pattern, &why);
	if (!names)
		return error_set(v->err, ERROR_USAGE, "%s:%d: %s", v->file, line, why.text);
	size_t i;
	json_t *name;
	json_array_foreach (names, i, name) {
		const char *text = json_string_value(name);
		if (!json_object_get(v->hosts, text))
			json_object_set_new(v->hosts, text, mem_json("{s:{}, s:{}}", "vars", "groups"));
		json_object_update(part_of(v->hosts, text, "vars"), (json_t *)vars);
		add_once(part_of(v->hosts, text, "groups"), group);
		add_once(json_object_get(group_of(v, group), "hosts"), text);
	}
	if (json_object_size(v->hosts) > ALL_HOSTS_MAX)
		return error_set(v->err, ERROR_USAGE, "%s:%d: found more than %d hosts", v->file, line, ALL_HOSTS_MAX);
	return 0;
}

// --- INI --------------------------------------------------------------------------

// The next word of a line, its quotes taken off; NULL at the end or at a comment. Owned by the caller.
static char *next_word(const char **at)
{
	while (isspace((unsigned char)**at))
		(*at)++;
	if (!**at || **at == '#')
		return NULL;
	struct str word = {0};
	char quote = 0;
	for (; **at && (quote || !isspace((unsigned char)**at)); (*at)++) {
		if (quote ? **at == quote : **at == '"' || **at == '\'')
			quote = quote ? 0 : **at;
		else
			str_add(&word, *at, 1);
	}
	return str_steal(&word);
}

// "name:2222": the port of an INI file's own way of writing.
static void take_port(char *name, json_t *vars, int line)
{
	char *colon = strrchr(name, ':');
	if (!colon || (strchr(name, '[') && strchr(colon, ']')) || strchr(name, ':') != colon)
		return;
	*colon = 0;
	set_var(vars, "ansible_port", colon + 1, line);
}

static int host_line(struct inventory *v, const char *group, const char *text, int line)
{
	autofree char *name = next_word(&text);
	autojson json_t *vars = json_object();
	if (!name)
		return 0;
	take_port(name, vars, line);
	for (char *word; (word = next_word(&text));) {
		autofree char *owned = word;
		char *equals = strchr(owned, '=');
		if (!equals)
			return complain(v, line, "expected NAME=VALUE, found", owned);
		*equals = 0;
		set_var(vars, owned, equals + 1, line);
	}
	return add_hosts(v, group, name, vars, line);
}

static char *trimmed(const char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	size_t len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	return mem_strndup(text, len);
}

static int var_line(struct inventory *v, const char *group, const char *text, int line)
{
	const char *equals = strchr(text, '=');
	if (!equals)
		return complain(v, line, "expected NAME = VALUE, found", text);
	autofree char *left = mem_strndup(text, (size_t)(equals - text));
	autofree char *name = trimmed(left), *value = trimmed(equals + 1);
	size_t len = strlen(value);
	if (len >= 2 && (*value == '"' || *value == '\'') && value[len - 1] == *value) {
		value[len - 1] = 0;
		memmove(value, value + 1, len - 1);
	}
	set_var(json_object_get(group_of(v, group), "vars"), name, value, line);
	return 0;
}

enum section { HOSTS, CHILDREN, VARS };

// "[group]", "[group:children]", "[group:vars]".
static int section_line(struct inventory *v, const char *text, int line, char **group, enum section *section)
{
	const char *end = strchr(text, ']');
	if (!end || end == text + 1)
		return complain(v, line, "expected [GROUP], found", text);
	free(*group);
	*group = mem_strndup(text + 1, (size_t)(end - text - 1));
	char *colon = strchr(*group, ':');
	*section = HOSTS;
	if (colon && strcmp(colon, ":children") == 0)
		*section = CHILDREN;
	else if (colon && strcmp(colon, ":vars") == 0)
		*section = VARS;
	else if (colon)
		return complain(v, line, "expected :children or :vars, found", colon);
	if (colon)
		*colon = 0;
	group_of(v, *group);
	return 0;
}

static int ini_line(struct inventory *v, const char *text, int line, char **group, enum section *section)
{
	if (!*text || *text == '#' || *text == ';')
		return 0;
	if (*text == '[')
		return section_line(v, text, line, group, section);
	if (*section == VARS)
		return var_line(v, *group, text, line);
	if (*section == HOSTS)
		return host_line(v, *group, text, line);
	const char *at = text;
	autofree char *child = next_word(&at);
	add_child(v, *group, child ? child : text);
	return 0;
}

static int read_ini(struct inventory *v, const char *text)
{
	autofree char *group = mem_strdup("ungrouped");
	enum section section = HOSTS;
	int line = 1;
	for (const char *at = text; *at; line++) {
		size_t len = strcspn(at, "\n");
		autofree char *raw = mem_strndup(at, len);
		autofree char *clean = trimmed(raw);
		if (ini_line(v, clean, line, &group, &section))
			return -1;
		at += len + (at[len] == '\n');
	}
	return 0;
}

// --- YAML -------------------------------------------------------------------------

static int expect_map(const struct yaml *node, struct error *err)
{
	if (node->kind == YAML_MAP || yaml_is_null(node))
		return 0;
	autofree char *found = yaml_describe(node);
	return yaml_error(node, err, "found %s, expected a map", found);
}

static int yaml_vars(struct inventory *v, const struct yaml *node, json_t *vars)
{
	if (expect_map(node, v->err))
		return -1;
	for (size_t i = 0; node->kind == YAML_MAP && i < node->count; i++) {
		const struct yaml_entry *e = &node->entries[i];
		if (e->value->kind == YAML_SCALAR) // lists and maps are nothing that ssh needs
			set_var(vars, e->key, e->value->text, e->line);
	}
	return 0;
}

static int yaml_group(struct inventory *v, const char *name, const struct yaml *node);

static int yaml_members(struct inventory *v, const char *group, const struct yaml *node, bool hosts)
{
	if (expect_map(node, v->err))
		return -1;
	for (size_t i = 0; node->kind == YAML_MAP && i < node->count; i++) {
		const struct yaml_entry *e = &node->entries[i];
		autojson json_t *vars = json_object();
		if (!hosts)
			add_child(v, group, e->key);
		if (hosts ? yaml_vars(v, e->value, vars) || add_hosts(v, group, e->key, vars, e->line)
			  : yaml_group(v, e->key, e->value))
			return -1;
	}
	return 0;
}

static int yaml_group(struct inventory *v, const char *name, const struct yaml *node)
{
	json_t *group = group_of(v, name);
	if (expect_map(node, v->err))
		return -1;
	for (size_t i = 0; node->kind == YAML_MAP && i < node->count; i++) {
		const struct yaml_entry *e = &node->entries[i];
		int rc = 0;
		if (strcmp(e->key, "vars") == 0)
			rc = yaml_vars(v, e->value, json_object_get(group, "vars"));
		else if (strcmp(e->key, "hosts") == 0 || strcmp(e->key, "children") == 0)
			rc = yaml_members(v, name, e->value, *e->key == 'h');
		else
			rc = yaml_error_at(e->value->file, e->line, e->column, v->err,
				"found '%s' in a group, expected hosts, children or vars", e->key);
		if (rc)
			return -1;
	}
	return 0;
}

static int read_yaml(struct inventory *v, const char *text, size_t len)
{
	struct yaml_limits limits = {INVENTORY_MAX_BYTES, ALL_VALUES_MAX};
	struct yaml *tree = yaml_parse_large(text, len, &(struct yaml_origin){v->file, 1, 1}, limits, v->err);
	if (!tree)
		return -1;
	int rc = expect_map(tree, v->err);
	for (size_t i = 0; !rc && tree->kind == YAML_MAP && i < tree->count; i++)
		rc = yaml_group(v, tree->entries[i].key, tree->entries[i].value);
	yaml_discard(tree);
	return rc;
}

// --- what it comes to ---------------------------------------------------------------

// How many levels of groups there are from this one down; above: how many are above it on the way. 0 and err when it
// holds itself or there are too many for functions that call themselves.
static int count_levels(const struct inventory *v, const char *group, int above)
{
	const json_t *known = json_object_get(v->levels, group);
	int levels = (int)json_integer_value(known);
	if (levels)
		return levels;
	if (known) {
		error_set(v->err, ERROR_USAGE, "%s: the group '%s' holds itself", v->file, group);
		return 0;
	}
	json_object_set_new(v->levels, group, json_integer(0));
	const char *child;
	json_t *value;
	levels = 1;
	json_object_foreach (part_of(v->groups, group, "children"), child, value) {
		int below = above < GROUP_LEVELS_MAX ? count_levels(v, child, above + 1) : GROUP_LEVELS_MAX;
		if (!below)
			return 0;
		levels = below + 1 > levels ? below + 1 : levels;
	}
	if (levels > GROUP_LEVELS_MAX) {
		error_set(v->err, ERROR_USAGE, "%s: found more than %d levels of groups from '%s' down, expected fewer",
			v->file, GROUP_LEVELS_MAX, group);
		return 0;
	}
	json_object_set_new(v->levels, group, json_integer(levels));
	return levels;
}

static int check_groups(const struct inventory *v)
{
	const char *name;
	json_t *group;
	json_object_foreach (v->groups, name, group)
		if (!count_levels(v, name, 0))
			return -1;
	return 0;
}

// Adds the hosts of a group and its children in the order of the file. seen: groups that were added.
static void collect(const struct inventory *v, const char *group, json_t *seen, json_t *names)
{
	const char *name;
	json_t *value;
	if (json_object_get(seen, group))
		return;
	add_once(seen, group);
	json_object_foreach (part_of(v->groups, group, "hosts"), name, value)
		add_once(names, name);
	json_object_foreach (part_of(v->groups, group, "children"), name, value)
		collect(v, name, seen, names);
}

// How far below "all" a group is: the deeper one's variables win, of two equally deep ones the later in the alphabet.
static int depth_of(const struct inventory *v, const char *group)
{
	const char *name;
	json_t *value;
	int depth = (int)json_integer_value(json_object_get(v->depths, group));
	if (depth)
		return depth;
	depth = 1;
	json_object_foreach (part_of(v->groups, group, "parents"), name, value)
		if (strcmp(name, "all") != 0) {
			int above = depth_of(v, name);
			depth = above + 1 > depth ? above + 1 : depth;
		}
	json_object_set_new(v->depths, group, json_integer(depth));
	return depth;
}

static void add_with_parents(const struct inventory *v, const char *group, json_t *set)
{
	const char *name;
	json_t *value;
	if (json_object_get(set, group))
		return;
	add_once(set, group);
	json_object_foreach (part_of(v->groups, group, "parents"), name, value)
		add_with_parents(v, name, set);
}

struct rank {
	const char *name;
	int depth;
};

static int by_depth(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;
	return x->depth != y->depth ? x->depth - y->depth : strcmp(x->name, y->name);
}

// The variables of all groups that hold a host which is in these.
static json_t *merge_groups(const struct inventory *v, json_t *groups)
{
	json_t *vars = json_copy(part_of(v->groups, "all", "vars")), *value;
	if (!vars)
		vars = json_object();
	autojson json_t *above = json_object();
	const char *name;
	json_object_foreach (groups, name, value)
		add_with_parents(v, name, above);
	autofree struct rank *ranks = mem_alloc((json_object_size(above) + 1) * sizeof *ranks);
	size_t count = 0;
	json_object_foreach (above, name, value)
		if (strcmp(name, "all") != 0)
			ranks[count++] = (struct rank){name, depth_of(v, name)};
	qsort(ranks, count, sizeof *ranks, by_depth);
	for (size_t i = 0; i < count; i++)
		json_object_update(vars, part_of(v->groups, ranks[i].name, "vars"));
	return vars;
}

// What is known of a host: its own variables win over those of its groups.
struct vars {
	const json_t *own, *groups;
};

// Hosts are many and sets of groups few: these are merged once.
static struct vars vars_of(const struct inventory *v, const char *host)
{
	json_t *groups = part_of(v->hosts, host, "groups");
	autofree char *key = json_dumps(groups, JSON_COMPACT);
	if (!json_object_get(v->merged, key))
		json_object_set_new(v->merged, key, merge_groups(v, groups));
	return (struct vars){part_of(v->hosts, host, "vars"), json_object_get(v->merged, key)};
}

static const json_t *find_var(const struct vars *vars, const char *name)
{
	const json_t *own = json_object_get(vars->own, name);
	return own ? own : json_object_get(vars->groups, name);
}

// The value of the first of two names of a variable; *line is where it stands. A template is refused.
static int get(const struct inventory *v, const struct vars *vars, const char *name, const char *older,
	const char **value, int *line)
{
	const json_t *found = find_var(vars, name) ? find_var(vars, name) : find_var(vars, older);
	*value = found ? json_string_value(json_array_get(found, 0)) : NULL;
	*line = (int)json_integer_value(json_array_get(found, 1));
	if (*value && strstr(*value, "{{"))
		return complain(v, *line, "expected a value without a template, found", *value);
	return 0;
}

static int refuse_unknown(const struct inventory *v, const struct vars *vars)
{
	static const char *const refused[] = {
		"ansible_password", "ansible_ssh_pass", "ansible_ssh_common_args", "ansible_ssh_extra_args"};
	for (size_t i = 0; i < countof(refused); i++) {
		const json_t *found = find_var(vars, refused[i]);
		if (found && *json_string_value(json_array_get(found, 0)))
			return error_set(v->err, ERROR_USAGE,
				"%s:%d: found '%s', which is not taken over: expected it in ssh's own configuration%s",
				v->file, (int)json_integer_value(json_array_get(found, 1)), refused[i],
				i < 2 ? ", as a key" : "");
	}
	return 0;
}

static int parse_number(const struct inventory *v, const char *text, int line, long min, long max, long *value)
{
	char *end;
	*value = strtol(text, &end, 10);
	return *text && !*end && *value >= min && *value <= max
		       ? 0
		       : complain(v, line, "expected a whole number in range, found", text);
}

static json_t *make_host(const struct inventory *v, const char *name, long *rank)
{
	struct vars known = vars_of(v, name), *vars = &known;
	const char *address, *user, *port, *key, *place;
	int line = 0;
	long number = 0;
	struct error why = {0};
	if (refuse_unknown(v, vars) || get(v, vars, "ansible_host", "ansible_ssh_host", &address, &line))
		return NULL;
	if (hosts_check_name(address ? address : name, &why)) {
		error_set(v->err, ERROR_USAGE, "%s:%d: %s", v->file, line, why.text);
		return NULL;
	}
	if (get(v, vars, "ansible_user", "ansible_ssh_user", &user, &line) ||
		get(v, vars, "ansible_ssh_private_key_file", "ansible_private_key_file", &key, &line) ||
		get(v, vars, "ansible_port", "ansible_ssh_port", &port, &line) ||
		(port && parse_number(v, port, line, 1, 65535, &number)))
		return NULL;
	*rank = -1;
	if (get(v, vars, "node_rank", "node_rank", &place, &line) ||
		(place && parse_number(v, place, line, 0, 1000000, rank)))
		return NULL;
	json_t *host = mem_json("{s:s, s:s*, s:s*}", "host", address ? address : name, "user", user, "key", key);
	if (port)
		json_object_set_new(host, "port", json_integer(number));
	return host;
}

struct placed {
	json_t *host;
	const char *name;
	long rank;
};

static int by_rank(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

// All hosts have a rank, each its own, or none has.
static int put_in_order(const struct inventory *v, struct placed *all, size_t count)
{
	size_t ranked = 0;
	for (size_t i = 0; i < count; i++)
		ranked += all[i].rank >= 0;
	for (size_t i = 0; ranked && i < count; i++)
		if (all[i].rank < 0)
			return error_set(v->err, ERROR_USAGE,
				"%s: the host '%s' has no node_rank, expected one for every host or for none", v->file,
				all[i].name);
	if (!ranked)
		return 0;
	qsort(all, count, sizeof *all, by_rank);
	for (size_t i = 1; i < count; i++)
		if (all[i].rank == all[i - 1].rank)
			return error_set(v->err, ERROR_USAGE,
				"%s: the hosts '%s' and '%s' have the node_rank %ld, expected one each", v->file,
				all[i - 1].name, all[i].name, all[i].rank);
	return 0;
}

static json_t *make_list(const struct inventory *v, json_t *names)
{
	size_t count = 0;
	autofree struct placed *all = mem_alloc((json_object_size(names) + 1) * sizeof *all);
	int rc = 0;
	const char *name;
	json_t *value;
	json_object_foreach (names, name, value) {
		struct placed *one = &all[count++];
		one->name = name;
		one->host = make_host(v, name, &one->rank);
		rc = one->host ? 0 : -1;
		if (rc)
			break;
	}
	if (!rc)
		rc = put_in_order(v, all, count);
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		if (all[i].host)
			json_array_append_new(list, all[i].host);
	if (!rc)
		return list;
	json_decref(list);
	return NULL;
}

static json_t *choose(const struct inventory *v, const char *group)
{
	autojson json_t *names = json_object(), *seen = json_object();
	if (!group || strcmp(group, "all") == 0)
		json_object_update(names, v->hosts);
	else if (!json_object_get(v->groups, group)) {
		error_set(v->err, ERROR_USAGE, "%s: found no group '%s'", v->file, group);
		return NULL;
	} else
		collect(v, group, seen, names);
	if (json_object_size(names))
		return make_list(v, names);
	error_set(v->err, ERROR_USAGE, "%s: found no host%s%s, expected at least one", v->file,
		group ? " in the group " : "", group ? group : "");
	return NULL;
}

json_t *inventory_parse(const char *text, size_t len, const char *file, const char *group, struct error *err)
{
	struct inventory v = {.file = file,
		.groups = json_object(),
		.hosts = json_object(),
		.levels = json_object(),
		.depths = json_object(),
		.merged = json_object(),
		.err = err};
	bool yaml = str_ends(file, ".yaml") || str_ends(file, ".yml") || str_ends(file, ".json");
	json_t *list = NULL;
	if (memchr(text, 0, len) || str_utf8_valid(text, len) != len)
		error_set(err, ERROR_USAGE, "%s: found bytes that are no UTF-8 text", file);
	else if (!(yaml ? read_yaml(&v, text, len) : read_ini(&v, text)) && !check_groups(&v))
		list = choose(&v, group);
	json_t *trees[] = {v.groups, v.hosts, v.levels, v.depths, v.merged};
	for (size_t i = 0; i < countof(trees); i++)
		json_decref(trees[i]);
	return list;
}
