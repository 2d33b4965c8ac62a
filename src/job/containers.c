#include "job/containers.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/input.h"
#include "job/plan.h"

#include <stdlib.h>
#include <string.h>

#define CONTEXT_PATH ".image" // below the data directory

// Adds "build" where there is one.
static int add_build(const struct job_build *build, const char *dir, json_t *tree, struct error *err)
{
	if (!build->context)
		return 0;
	const char *names[] = {build->context, build->dockerfile};
	for (size_t i = 0; i < countof(names); i++)
		if (names[i] && (strstr(names[i], "://") || *names[i] == '~' || (i == 1 && !fs_is_inside(names[i])))) {
			autofree char *quoted = yaml_quote(names[i]);
			return yaml_error(build->place.node, err, "found %s, expected %s", quoted,
				i ? "a file below the context" : "a directory of this machine, without '~'");
		}
	autofree char *context = input_absolute(dir, build->context);
	json_t *args = json_object();
	for (size_t i = 0; i < build->args.count; i++)
		json_object_set_new(args, build->args.items[i].name, json_string(build->args.items[i].value));
	return json_object_set_new(tree, "build",
		mem_json("{s:s, s:s*, s:o}", "context", context, "dockerfile", build->dockerfile, "args", args));
}

// Adds "volumes" where there are some. A source with a '/' is a directory, else it is the name of a volume.
static void add_volumes(const struct field_texts *volumes, const char *dir, json_t *tree)
{
	if (!volumes->count)
		return;
	json_t *list = json_array();
	for (size_t i = 0; i < volumes->count; i++) {
		const char *text = volumes->items[i];
		size_t len = strcspn(text, ":");
		autofree char *source = mem_strndup(text, len);
		if (memchr(source, '/', len) || *source == '.') {
			autofree char *path = input_absolute(dir, source);
			free(source);
			source = steal(path);
		}
		autofree char *volume = mem_printf("%s%s", source, text + len);
		json_array_append_new(list, json_string(volume));
	}
	json_object_set_new(tree, "volumes", list);
}

int containers_of_nodes(const struct job *job, const char *dir, json_t *plan, struct error *err)
{
	if (add_build(&job->cluster.build, dir, plan, err))
		return -1;
	add_volumes(&job->cluster.volumes, dir, plan);
	return 0;
}

// --- of ranks -----------------------------------------------------------------

// The directory is the controller's, the engine the node's.
static int add_context(const struct job_build *build, const json_t *made, json_t *plan, struct error *err)
{
	json_t *inputs = json_object_get(plan, "inputs");
	for (size_t i = 0; i < plan_inputs(plan); i++)
		if (strcmp(plan_input(plan, i).path, CONTEXT_PATH) == 0)
			return yaml_error(build->place.node, err,
				"found the path '" CONTEXT_PATH
				"' of inputs[%zu], expected another one: what the image is built from comes there",
				i);
	return json_array_append_new(inputs, mem_json("{s:s, s:O, s:s, s:n, s:b, s:s, s:b, s:b}", "name", "image",
						     "from", json_object_get(made, "context"), "kind", "path", "sha256",
						     "unpack", 0, "path", CONTEXT_PATH, "once", 0, "context", 1));
}

static json_t *make_step(const struct job_container *from)
{
	autofree char *name = from->image ? mem_printf("image %s", from->image)
					  : mem_printf("build the image of %s", from->build.context);
	return mem_json("{s:s, s:b, s:{}, s:b, s:i}", "name", name, "image", 1, "env", "once", 0, "timeout", 0);
}

// Where the nodes are not this machine, the job file's directory is not there.
static int check_volumes(const struct job *job, struct error *err)
{
	const struct job_container *from = &job->run.container;
	for (size_t i = 0; i < from->volumes.count; i++) {
		const char *text = from->volumes.items[i];
		if (!job->cluster.traits->sees_controller_files && *text != '/' &&
			(*text == '.' || memchr(text, '/', strcspn(text, ":"))))
			return yaml_error(yaml_find(from->place.node, "volumes")->entries[i].value, err,
				"found the volume '%s', expected an absolute path or the name of a volume: it is a "
				"directory of the nodes",
				text);
	}
	return 0;
}

int containers_of_ranks(const struct job *job, const char *dir, json_t *plan, struct error *err)
{
	const struct job_container *from = &job->run.container;
	if (!from->place.node)
		return 0;
	if (job->cluster.traits->nodes_are_containers)
		return yaml_error(from->place.node, err,
			"found 'run.container' with 'executor: %s', expected 'cluster.image'%s: the nodes are "
			"containers already",
			job->cluster.executor, job->cluster.traits->builds_images ? " or 'cluster.build'" : "");
	json_t *container = mem_json("{s:s*}", "image", from->image);
	json_object_set_new(plan, "container", container);
	if (check_volumes(job, err) || add_build(&from->build, dir, container, err))
		return -1;
	add_volumes(&from->volumes, dir, container);
	const json_t *build = json_object_get(container, "build");
	if (build && add_context(&from->build, build, plan, err))
		return -1;
	return json_array_append_new(json_object_get(plan, "setup"), make_step(from));
}
