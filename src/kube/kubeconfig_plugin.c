#include "kube/kubeconfig_plugin.h"

#include "base/mem.h"
#include "kube/kubeconfig_members.h"

#include <stdlib.h>
#include <string.h>

static int take_args(const struct yaml *exec, struct credential_plugin *p, struct error *err)
{
	const struct yaml *list;
	if (kubeconfig_members_find(exec, "args", YAML_LIST, &list, err) < 0)
		return -1;
	for (size_t i = 0; list && i < list->count; i++) {
		const struct yaml *word = list->entries[i].value;
		if (word->kind != YAML_SCALAR)
			return yaml_error(word, err, "an argument of the credential plugin is no text");
		json_array_append_new(p->args, json_string(word->text));
	}
	return 0;
}

static int take_env(const struct yaml *exec, struct credential_plugin *p, struct error *err)
{
	const struct yaml *list, *name, *value;
	if (kubeconfig_members_find(exec, "env", YAML_LIST, &list, err) < 0)
		return -1;
	for (size_t i = 0; list && i < list->count; i++) {
		const struct yaml *entry = list->entries[i].value;
		if (entry->kind != YAML_MAP)
			return yaml_error(entry, err, "expected a map with 'name' and 'value'");
		if (kubeconfig_members_find(entry, "name", YAML_SCALAR, &name, err) < 0 ||
			kubeconfig_members_find(entry, "value", YAML_SCALAR, &value, err) < 0)
			return -1;
		if (!name || !*name->text || strchr(name->text, '='))
			return yaml_error(entry, err, "expected a 'name' without '='");
		json_object_set_new(p->env, name->text, json_string(value ? value->text : ""));
	}
	return 0;
}

static int take_version(const struct yaml *exec, struct credential_plugin *p, struct error *err)
{
	const struct yaml *node;
	if (kubeconfig_members_text(exec, "apiVersion", &p->version, &node, err) < 0)
		return -1;
	if (p->version && (strcmp(p->version, CREDENTIAL_PLUGIN_API "v1") == 0 ||
				  strcmp(p->version, CREDENTIAL_PLUGIN_API "v1beta1") == 0))
		return 0;
	return yaml_error(node ? node : exec, err,
		"found '%.100s' as the apiVersion of a credential plugin, expected " CREDENTIAL_PLUGIN_API
		"v1 or v1beta1",
		p->version ? p->version : "");
}

static int take_mode(const struct yaml *exec, struct credential_plugin *p, struct error *err)
{
	static const char *const modes[] = {"Never", "IfAvailable", "Always"};
	autofree char *text = NULL;
	const struct yaml *node;
	p->mode = PLUGIN_MAY_ASK;
	if (kubeconfig_members_text(exec, "interactiveMode", &text, &node, err) < 0)
		return -1;
	for (int i = 0; text && i < (int)countof(modes); i++)
		if (strcmp(text, modes[i]) == 0) {
			p->mode = (enum credential_plugin_mode)i;
			return 0;
		}
	if (!text)
		return 0;
	return yaml_error(
		node, err, "found '%.100s' in 'interactiveMode', expected Never, IfAvailable or Always", text);
}

// A name is looked for in PATH; a path that is not absolute is seen from the file.
static int take_command(const struct yaml *exec, struct credential_plugin *p, struct error *err)
{
	if (kubeconfig_members_text(exec, "command", &p->command, NULL, err) < 0)
		return -1;
	if (!p->command)
		return yaml_error(exec, err, "the credential plugin has no 'command'");
	if (!strchr(p->command, '/'))
		return 0;
	free(steal(p->command));
	return kubeconfig_members_path(exec, "command", &p->command, NULL, err);
}

int kubeconfig_plugin_take(const struct yaml *exec, struct credential_plugin *p, bool *tell, struct error *err)
{
	const struct yaml *flag;
	p->where = kubeconfig_members_place(exec);
	p->args = json_array();
	p->env = json_object();
	return take_version(exec, p, err) < 0 || take_command(exec, p, err) < 0 ||
			       kubeconfig_members_text(exec, "installHint", &p->hint, NULL, err) < 0 ||
			       take_args(exec, p, err) < 0 || take_env(exec, p, err) < 0 ||
			       take_mode(exec, p, err) < 0 ||
			       kubeconfig_members_flag(exec, "provideClusterInfo", tell, &flag, err) < 0
		       ? -1
		       : 0;
}
