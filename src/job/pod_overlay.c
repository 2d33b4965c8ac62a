#include "job/pod_overlay.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

// The lists whose entries are merged, and what names an entry.
static const struct keyed {
	const char *list, *key;
} keyed[] = {
	{"containers", "name"},
	{"initContainers", "name"},
	{"volumes", "name"},
	{"env", "name"},
	{"imagePullSecrets", "name"},
	{"volumeMounts", "mountPath"},
};

static const char *key_of(const char *list)
{
	for (size_t i = 0; i < countof(keyed); i++)
		if (strcmp(keyed[i].list, list) == 0)
			return keyed[i].key;
	return NULL;
}

bool pod_overlay_is_reserved(const char *label)
{
	return str_starts(label, "muster.") || strcmp(label, "app.kubernetes.io/managed-by") == 0 ||
	       strcmp(label, "kueue.x-k8s.io/queue-name") == 0;
}

// --- check --------------------------------------------------------------------

static int refuse(const struct yaml *node, const char *path, const char *expected, struct error *err)
{
	autofree char *found = yaml_describe(node);
	return yaml_error(node, err, "found %s for '%s', expected %s", found, path, expected);
}

// Is it a map of these keys only? allowed NULL: of any.
static int check_map(const struct yaml *node, const char *path, const char *const *allowed, struct error *err)
{
	if (node->kind != YAML_MAP)
		return refuse(node, path, "a map of keys and values", err);
	for (size_t i = 0; allowed && i < node->count; i++) {
		const struct yaml_entry *entry = &node->entries[i];
		if (strcmp(entry->key, allowed[0]) == 0 || strcmp(entry->key, allowed[1]) == 0)
			continue;
		autofree char *quoted = yaml_quote(entry->key);
		return yaml_error_at(node->file, entry->line, entry->column, err,
			"found the unknown key %s in '%s', expected '%s' or '%s'", quoted, path, allowed[0],
			allowed[1]);
	}
	return 0;
}

// The labels or annotations.
static int check_words(const struct yaml *words, const char *path, struct error *err)
{
	if (check_map(words, path, NULL, err))
		return -1;
	for (size_t i = 0; i < words->count; i++) {
		const struct yaml_entry *entry = &words->entries[i];
		autofree char *below = mem_printf("%s.%s", path, entry->key);
		if (pod_overlay_is_reserved(entry->key))
			return yaml_error_at(words->file, entry->line, entry->column, err,
				"found '%s', expected no key of muster's own", below);
		if (entry->value->kind != YAML_SCALAR)
			return refuse(entry->value, below, "a text", err);
	}
	return 0;
}

static int check_metadata(const struct yaml *metadata, const char *path, struct error *err)
{
	static const char *const allowed[] = {"labels", "annotations"};
	if (check_map(metadata, path, allowed, err))
		return -1;
	for (size_t i = 0; i < metadata->count; i++) {
		autofree char *below = mem_printf("%s.%s", path, metadata->entries[i].key);
		if (check_words(metadata->entries[i].value, below, err))
			return -1;
	}
	return 0;
}

static const char *name_in(const struct yaml *item, const char *key)
{
	const struct yaml *name = item->kind == YAML_MAP ? yaml_find(item, key) : NULL;
	return name && name->kind == YAML_SCALAR && !yaml_is_null(name) && *name->text ? name->text : NULL;
}

// A list whose entries are merged by name: each has one, and each name is there once.
static int check_keyed(const struct yaml *list, const char *path, const char *key, struct error *err)
{
	if (list->kind != YAML_LIST)
		return refuse(list, path, "a list", err);
	autojson json_t *seen = json_object();
	for (size_t i = 0; i < list->count; i++) {
		const struct yaml *item = list->entries[i].value;
		const char *name = name_in(item, key);
		if (!name)
			return yaml_error(
				item, err, "found no '%s' in '%s[%zu]', expected a map with one", key, path, i);
		if (json_object_get(seen, name))
			return yaml_error(yaml_find(item, key), err,
				"found '%s' a second time in '%s', expected each '%s' once", name, path, key);
		json_object_set_new(seen, name, json_true());
	}
	return 0;
}

static int refuse_own(const struct yaml *item, const char *key, const char *path, struct error *err)
{
	const struct yaml *name = yaml_find(item, key);
	return yaml_error(name, err, "found '%s' in '%s', expected none of muster's own", name->text, path);
}

// The volumes and init containers that are muster's stay as they are.
static int check_own_names(const struct yaml *list, const char *path, struct error *err)
{
	for (size_t i = 0; i < list->count; i++)
		if (str_starts(name_in(list->entries[i].value, "name"), POD_OVERLAY_RESERVED))
			return refuse_own(list->entries[i].value, "name", path, err);
	return 0;
}

bool pod_overlay_is_home(const char *path)
{
	return str_starts(path, POD_OVERLAY_HOME);
}

static int check_lists(const struct yaml *map, const char *path, struct error *err);

static int check_container(const struct yaml *container, const char *path, struct error *err)
{
	static const char *const fixed[] = {"command", "args"};
	bool node = strcmp(name_in(container, "name"), POD_OVERLAY_CONTAINER) == 0;
	if (check_lists(container, path, err))
		return -1;
	for (size_t i = 0; node && i < countof(fixed); i++)
		if (yaml_find(container, fixed[i]))
			return yaml_error(yaml_find(container, fixed[i]), err,
				"found '%s' in '%s', expected none: the container '%s' runs muster's agent, and what "
				"the ranks run is 'run.command'",
				fixed[i], path, POD_OVERLAY_CONTAINER);
	const struct yaml *mounts = yaml_find(container, "volumeMounts");
	autofree char *below = mem_printf("%s.volumeMounts", path);
	for (size_t i = 0; node && mounts && i < mounts->count; i++)
		if (pod_overlay_is_home(name_in(mounts->entries[i].value, "mountPath")))
			return refuse_own(mounts->entries[i].value, "mountPath", below, err);
	return 0;
}

// The lists by name that a map holds.
static int check_lists(const struct yaml *map, const char *path, struct error *err)
{
	for (size_t i = 0; i < map->count; i++) {
		const char *key = key_of(map->entries[i].key);
		autofree char *below = mem_printf("%s.%s", path, map->entries[i].key);
		if (key && check_keyed(map->entries[i].value, below, key, err))
			return -1;
	}
	return 0;
}

// A word that only one value fits; and a time of grace, where 0 makes Kubernetes forget a pod that still runs.
static int check_scalars(const struct yaml *spec, const char *path, struct error *err)
{
	const struct yaml *restart = yaml_find(spec, "restartPolicy");
	const struct yaml *grace = yaml_find(spec, "terminationGracePeriodSeconds");
	autofree char *restart_path = mem_printf("%s.restartPolicy", path);
	autofree char *grace_path = mem_printf("%s.terminationGracePeriodSeconds", path);
	if (restart && (restart->kind != YAML_SCALAR || strcmp(restart->text, "Never") != 0))
		return refuse(restart, restart_path, "Never: what has failed is started again by muster", err);
	if (grace && (grace->kind != YAML_SCALAR || strspn(grace->text, "0") == strlen(grace->text)))
		return refuse(grace, grace_path, "a number of seconds from 1", err);
	return 0;
}

static int check_spec(const struct yaml *spec, const char *path, struct error *err)
{
	static const char *const containers[] = {"containers", "initContainers"}, *const own[] = {
											  "volumes", "initContainers"};
	if (check_map(spec, path, NULL, err) || check_lists(spec, path, err) || check_scalars(spec, path, err))
		return -1;
	for (size_t i = 0; i < countof(own); i++) {
		const struct yaml *list = yaml_find(spec, own[i]);
		autofree char *below = mem_printf("%s.%s", path, own[i]);
		if (list && check_own_names(list, below, err))
			return -1;
	}
	for (size_t c = 0; c < countof(containers); c++) {
		const struct yaml *list = yaml_find(spec, containers[c]);
		for (size_t i = 0; list && i < list->count; i++) {
			autofree char *below = mem_printf("%s.%s[%zu]", path, containers[c], i);
			if (check_container(list->entries[i].value, below, err))
				return -1;
		}
	}
	return 0;
}

int pod_overlay_check(const struct yaml *overlay, const char *path, struct error *err)
{
	static const char *const allowed[] = {"metadata", "spec"};
	if (check_map(overlay, path, allowed, err))
		return -1;
	const struct yaml *metadata = yaml_find(overlay, allowed[0]), *spec = yaml_find(overlay, allowed[1]);
	autofree char *metadata_path = mem_printf("%s.metadata", path), *spec_path = mem_printf("%s.spec", path);
	if (metadata && check_metadata(metadata, metadata_path, err))
		return -1;
	return spec ? check_spec(spec, spec_path, err) : 0;
}

// --- as JSON ------------------------------------------------------------------

json_t *pod_overlay_json(const struct yaml *overlay)
{
	json_t *json = yaml_json(overlay);
	const struct yaml *metadata = yaml_find(overlay, "metadata");
	for (size_t i = 0; metadata && i < metadata->count; i++) {
		const struct yaml *words = metadata->entries[i].value;
		json_t *made = json_object_get(json_object_get(json, "metadata"), metadata->entries[i].key);
		for (size_t k = 0; k < words->count; k++)
			if (!yaml_is_null(words->entries[k].value))
				json_object_set_new(
					made, words->entries[k].key, json_string(words->entries[k].value->text));
	}
	return json;
}

// --- merge --------------------------------------------------------------------

static json_t *merged(json_t *base, const json_t *patch);

// The entry of that name, or NULL.
static json_t *find_named(const json_t *list, const char *key, const char *name)
{
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item)
		if (name && json_is(item, key, name))
			return item;
	return NULL;
}

static void merge_list(json_t *list, const json_t *patch, const char *key)
{
	size_t i;
	json_t *item;
	json_array_foreach (patch, i, item) {
		json_t *there = find_named(list, key, json_text(item, key));
		if (there)
			pod_overlay_merge(there, item);
		else
			json_array_append_new(list, merged(json_null(), item));
	}
}

// What stands where base stood, owned by the caller.
static json_t *merged(json_t *base, const json_t *patch)
{
	if (!json_is_object(patch))
		return json_deep_copy(patch);
	json_t *object = json_is_object(base) ? json_incref(base) : json_object();
	pod_overlay_merge(object, patch);
	return object;
}

void pod_overlay_merge(json_t *template, const json_t *overlay)
{
	const char *name;
	json_t *patch;
	json_object_foreach ((json_t *)overlay, name, patch) {
		json_t *base = json_object_get(template, name);
		const char *key = key_of(name);
		if (json_is_null(patch))
			json_object_del(template, name);
		else if (key && json_is_array(base) && json_is_array(patch))
			merge_list(base, patch, key);
		else
			json_object_set_new(template, name, merged(base, patch));
	}
}
