#include "job/absolute_paths.h"

#include "base/mem.h"
#include "base/str.h"
#include "job/input.h"

#include <stdlib.h>
#include <string.h>

static void replace(struct yaml *node, char *text)
{
	free(node->text);
	node->text = text;
	node->plain = false;
}

// Addresses are none of this machine's paths.
static void make_absolute(struct yaml *node, const char *dir)
{
	if (node && node->kind == YAML_SCALAR && *node->text && *node->text != '/' && *node->text != '~' &&
		!strstr(node->text, "://") && !str_starts(node->text, "git+"))
		replace(node, input_absolute(dir, node->text));
}

// "SOURCE:PATH"; a source without '/' is the name of a volume.
static void rebase_volume(struct yaml *node, const char *dir)
{
	if (node->kind != YAML_SCALAR || *node->text == '/')
		return;
	size_t len = strcspn(node->text, ":");
	if (!memchr(node->text, '/', len) && *node->text != '.')
		return;
	autofree char *source = mem_strndup(node->text, len), *path = input_absolute(dir, source);
	replace(node, mem_printf("%s%s", path, node->text + len));
}

static struct yaml *child(struct yaml *node, const char *key)
{
	return node && node->kind == YAML_MAP ? yaml_find(node, key) : NULL;
}

void absolute_paths_apply(struct yaml *tree, const char *dir)
{
	struct yaml *inputs = child(tree, "inputs"), *cluster = child(tree, "cluster"),
		    *build = child(cluster, "build"), *volumes = child(cluster, "volumes");
	for (size_t i = 0; inputs && inputs->kind == YAML_LIST && i < inputs->count; i++) {
		struct yaml *input = inputs->entries[i].value;
		make_absolute(input->kind == YAML_MAP ? yaml_find(input, "from") : input, dir);
	}
	for (size_t i = 0; volumes && volumes->kind == YAML_LIST && i < volumes->count; i++)
		rebase_volume(volumes->entries[i].value, dir);
	make_absolute(child(cluster, "inventory"), dir);
	make_absolute(build && build->kind == YAML_MAP ? yaml_find(build, "context") : build, dir);
}
