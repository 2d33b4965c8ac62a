#include "job/steps.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TITLE = 60 };

char *steps_title(const struct field_command *command)
{
	autostr struct str s = {0};
	for (size_t i = 0; i < command->words.count && s.len < MAX_TITLE; i++)
		str_printf(&s, "%s%s", i ? " " : "", command->words.items[i]);
	char *text = str_steal(&s);
	text[strcspn(text, "\r\n")] = 0;
	if (strlen(text) > MAX_TITLE)
		text[str_utf8_valid(text, MAX_TITLE)] = 0;
	return text;
}

static json_t *make_texts(const struct field_texts *texts)
{
	json_t *list = json_array();
	for (size_t i = 0; i < texts->count; i++)
		json_array_append_new(list, json_string(texts->items[i]));
	return list;
}

static json_t *make_packages(const struct job_setup *setup)
{
	autostr struct str name = {0};
	str_puts(&name, "packages");
	for (size_t i = 0; i < setup->packages.count; i++)
		str_printf(&name, " %s", setup->packages.items[i]);
	return mem_json(
		"{s:s, s:o}", "name", setup->name ? setup->name : name.text, "packages", make_texts(&setup->packages));
}

static json_t *make_order(const struct plan_placeholders *scope, const struct job_setup *setup)
{
	const struct yaml *node = setup->place.node;
	autofree char *name = setup->name ? mem_strdup(setup->name) : steps_title(&setup->run);
	autojson json_t *step = mem_json("{s:s}", "name", name);
	if (json_object_set_new(step, "argv", plan_placeholders_argv(scope, &setup->run, yaml_find(node, "run"))))
		return NULL;
	if (setup->become)
		json_object_set_new(step, "become", json_true());
	if (setup->creates && json_object_set_new(step, "creates",
				      plan_placeholders_text(scope, setup->creates, yaml_find(node, "creates"))))
		return NULL;
	return steal(step);
}

static json_t *make_mount(
	const struct plan_placeholders *scope, const struct job_setup *setup, const struct job_mount *mount)
{
	autostr struct str options = {0};
	for (size_t i = 0; i < mount->options.count; i++)
		str_printf(&options, "%s%s", i ? "," : "", mount->options.items[i]);
	autofree char *name =
		setup->name ? mem_strdup(setup->name) : mem_printf("mount %s on %s", mount->from, mount->to);
	json_t *from = plan_placeholders_text(scope, mount->from, yaml_find(mount->place.node, "from"));
	return from ? mem_json("{s:s, s:{s:s, s:o, s:s, s:s*}}", "name", name, "mount", "type", mount->type, "from",
			      from, "to", mount->to, "options", options.len ? options.text : NULL)
		    : NULL;
}

// What all kinds of steps have. Takes step, which may be NULL.
static int add_step(const struct plan_placeholders *scope, json_t *list, const struct job_setup *setup, json_t *made)
{
	autojson json_t *step = made;
	autojson json_t *env = mem_json("{s:s, s:s, s:s, s:s}", "MUSTER_NODE", "{node}", "MUSTER_ROLE", "{role}",
		"MUSTER_DATA", "{data}", "MUSTER_OUT", "{out}");
	autofree char *nodes = mem_printf("%zu", scope->launch->nodes), *size = mem_printf("%zu", scope->launch->size);
	json_object_set_new(env, "MUSTER_NODES", json_string(nodes));
	json_object_set_new(env, "MUSTER_SIZE", json_string(size));
	if (!step || plan_placeholders_env(scope, env, &setup->env, yaml_find(setup->place.node, "env")))
		return -1;
	json_object_set(step, "env", env);
	json_object_set_new(step, "once", json_boolean(setup->once));
	json_object_set_new(step, "timeout", mem_number(setup->timeout));
	return json_array_append(list, step);
}

static int add_steps(const struct plan_placeholders *scope, json_t *list, const struct job_setup *setup)
{
	const struct job_mount *mounts = setup->mounts.items;
	if (!setup->mounts.count)
		return add_step(
			scope, list, setup, setup->packages.count ? make_packages(setup) : make_order(scope, setup));
	for (size_t i = 0; i < setup->mounts.count; i++)
		if (add_step(scope, list, setup, make_mount(scope, setup, &mounts[i])))
			return -1;
	return 0;
}

json_t *steps_make(const struct job *job, const struct plan_placeholders *scope)
{
	autojson json_t *list = json_array();
	const struct job_setup *steps = job->setup.items;
	for (size_t i = 0; i < job->setup.count; i++)
		if (add_steps(scope, list, &steps[i]))
			return NULL;
	return steal(list);
}
