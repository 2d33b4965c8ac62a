#include "kube/kubeconfig_members.h"

#include "base/crypto.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

char *kubeconfig_members_place(const struct yaml *node)
{
	return mem_printf("%s:%d:%d", node->file, node->line, node->column);
}

// A member that is there and not null. *found NULL: it is not. -1 and err when it is of another kind.
int kubeconfig_members_find(
	const struct yaml *map, const char *key, enum yaml_kind kind, const struct yaml **found, struct error *err)
{
	static const char *const kinds[] = {[YAML_SCALAR] = "a text", [YAML_LIST] = "a list", [YAML_MAP] = "a map"};
	*found = map ? yaml_find(map, key) : NULL;
	if (*found && yaml_is_null(*found))
		*found = NULL;
	if (!*found || (*found)->kind == kind)
		return 0;
	autofree char *what = yaml_describe(*found);
	return yaml_error(*found, err, "found %s in '%s', expected %s", what, key, kinds[kind]);
}

// A text that is not empty; *text stays NULL otherwise. The node, where wanted, is where it stands.
int kubeconfig_members_text(
	const struct yaml *map, const char *key, char **text, const struct yaml **where, struct error *err)
{
	const struct yaml *node;
	if (kubeconfig_members_find(map, key, YAML_SCALAR, &node, err) < 0)
		return -1;
	if (where)
		*where = node;
	if (node && *node->text)
		*text = mem_strdup(node->text);
	return 0;
}

int kubeconfig_members_flag(
	const struct yaml *map, const char *key, bool *flag, const struct yaml **where, struct error *err)
{
	const struct yaml *node;
	if (kubeconfig_members_find(map, key, YAML_SCALAR, &node, err) < 0)
		return -1;
	*where = node;
	*flag = node && strcmp(node->text, "true") == 0;
	if (!node || *flag || strcmp(node->text, "false") == 0)
		return 0;
	autofree char *what = yaml_describe(node);
	return yaml_error(node, err, "found %s in '%s', expected true or false", what, key);
}

// A path, seen from the directory of the file that it stands in.
int kubeconfig_members_path(
	const struct yaml *map, const char *key, char **path, const struct yaml **where, struct error *err)
{
	autofree char *text = NULL;
	if (kubeconfig_members_text(map, key, &text, where, err) < 0)
		return -1;
	const char *slash = text ? strrchr(map->file, '/') : NULL;
	autofree char *dir = slash ? mem_strndup(map->file, (size_t)(slash - map->file) + 1) : mem_strdup("./");
	const char *rest = text;
	while (rest && str_starts(rest, "./"))
		rest += 2;
	if (text)
		*path = *text == '/' ? mem_strdup(text) : mem_printf("%s%s", dir, rest);
	return 0;
}

int kubeconfig_members_base64(const struct yaml *map, const char *key, char **bytes, struct error *err)
{
	autofree char *text = NULL;
	const struct yaml *where;
	size_t len;
	if (kubeconfig_members_text(map, key, &text, &where, err) < 0)
		return -1;
	if (!text)
		return 0;
	*bytes = crypto_base64_decode(text, &len);
	return *bytes ? 0 : yaml_error(where, err, "'%s' is not base64", key);
}
