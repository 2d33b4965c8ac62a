#include "job/kubernetes.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/plan.h"
#include "job/pod_overlay.h"

#include <math.h>
#include <string.h>

#define SECTION "cluster.kubernetes"
#define HOUR 3600.0

static const double slack = 6 * HOUR;          // for inputs, steps without a limit, and outputs
static const double no_limit = 30 * 24 * HOUR; // of a run that has none

// --- check --------------------------------------------------------------------

static const struct yaml *place(const struct field_place *of, const char *key)
{
	const struct yaml *node = yaml_find(of->node, key);
	return node ? node : of->node;
}

static int check_toleration(const struct job_toleration *t, struct error *err)
{
	bool exists = strcmp(job_fields_operators[t->op], "Exists") == 0;
	if (exists && t->value)
		return yaml_error(place(&t->place, "value"), err,
			"found 'value' with 'operator: Exists', expected it with 'operator: Equal' only");
	if (!exists && !t->key)
		return yaml_error(t->place.node, err,
			"found no 'key' with 'operator: Equal', expected one, or 'operator: Exists'");
	if (t->seconds >= 0 && (t->effect < 0 || strcmp(job_fields_effects[t->effect], "NoExecute") != 0))
		return yaml_error(place(&t->place, "toleration_seconds"), err,
			"found 'toleration_seconds' without 'effect: NoExecute', expected both");
	return 0;
}

static int check_tolerations(const struct job_kubernetes *k, struct error *err)
{
	const struct job_toleration *list = k->tolerations.items;
	for (size_t i = 0; i < k->tolerations.count; i++)
		if (check_toleration(&list[i], err))
			return -1;
	return 0;
}

static int check_volume_kind(const struct job_pod_volume *v, size_t i, struct error *err)
{
	int kinds = !!v->host_path + !!v->claim + !!v->config_map + !!v->secret + !!v->empty_dir.place.node;
	if (kinds == 1)
		return 0;
	return yaml_error(v->place.node, err,
		"found %s in '" SECTION ".volumes[%zu]', expected one of 'host_path', 'claim', 'empty_dir', "
		"'config_map' and 'secret'",
		kinds ? "more than one kind of volume" : "no kind of volume", i);
}

static char *volume_name(const struct job_pod_volume *v, size_t i)
{
	return v->name ? mem_strdup(v->name) : mem_printf("volume-%zu", i);
}

static int check_volume(const struct job_pod_volume *list, size_t i, struct error *err)
{
	const struct job_pod_volume *v = &list[i];
	if (check_volume_kind(v, i, err))
		return -1;
	if (pod_overlay_is_home(v->mount_path))
		return yaml_error(place(&v->place, "mount_path"), err,
			"found the mount path '%s', expected none that begins with '" POD_OVERLAY_HOME
			"': muster's agent is there",
			v->mount_path);
	if (v->name && str_starts(v->name, POD_OVERLAY_RESERVED))
		return yaml_error(place(&v->place, "name"), err,
			"found the volume '%s', expected a name that does not begin with '" POD_OVERLAY_RESERVED
			"': those are muster's",
			v->name);
	autofree char *name = volume_name(v, i);
	for (size_t k = 0; k < i; k++) {
		autofree char *other = volume_name(&list[k], k);
		if (strcmp(list[k].mount_path, v->mount_path) == 0)
			return yaml_error(place(&v->place, "mount_path"), err,
				"found the mount path '%s' a second time, expected each once", v->mount_path);
		if (strcmp(other, name) == 0)
			return yaml_error(place(&v->place, "name"), err,
				"found the volume '%s' a second time, expected each name once", name);
	}
	return 0;
}

static int check_volumes(const struct job_kubernetes *k, struct error *err)
{
	for (size_t i = 0; i < k->volumes.count; i++)
		if (check_volume(k->volumes.items, i, err))
			return -1;
	return 0;
}

// No key of muster's own, or that another key is for.
static int check_names(const struct job_kubernetes *k, struct error *err)
{
	const struct {
		const char *key;
		const struct field_env *env;
	} words[] = {{"labels", &k->labels}, {"annotations", &k->annotations}};
	for (size_t w = 0; w < countof(words); w++)
		for (size_t i = 0; i < words[w].env->count; i++) {
			const struct yaml *node = yaml_find(k->place.node, words[w].key);
			const char *name = words[w].env->items[i].name;
			if (pod_overlay_is_reserved(name))
				return yaml_error_at(node->file, node->entries[i].line, node->entries[i].column, err,
					"found '%s' in '" SECTION ".%s', expected no key of muster's own%s", name,
					words[w].key,
					str_starts(name, "kueue.") ? " ('" SECTION ".queue' sets it)" : "");
		}
	return 0;
}

// cpus and memory have keys of their own.
static int check_resources(
	const struct field_place *of, const struct field_env *resources, const char *path, struct error *err)
{
	static const struct {
		const char *name, *key;
	} others[] = {{"cpu", "cpus"}, {"cpus", "cpus"}, {"memory", "memory"}};
	for (size_t i = 0; i < resources->count; i++)
		for (size_t o = 0; o < countof(others); o++) {
			const struct yaml *node = yaml_find(of->node, "resources");
			if (strcmp(resources->items[i].name, others[o].name) == 0)
				return yaml_error_at(node->file, node->entries[i].line, node->entries[i].column, err,
					"found '%s' in '%s.resources', expected 'cluster.%s' for it", others[o].name,
					path, others[o].key);
		}
	return 0;
}

static int check_roles(const struct job_cluster *cluster, struct error *err)
{
	const struct job_role *roles = cluster->roles.items;
	for (size_t i = 0; i < cluster->roles.count; i++) {
		autofree char *path = mem_printf("cluster.roles.%s", roles[i].place.name);
		if (check_resources(&roles[i].place, &roles[i].resources, path, err))
			return -1;
	}
	return 0;
}

static int check(const struct job_kubernetes *k, struct error *err)
{
	if (check_names(k, err) || check_resources(&k->place, &k->resources, SECTION, err) ||
		check_tolerations(k, err) || check_volumes(k, err))
		return -1;
	return k->pod ? pod_overlay_check(k->pod, SECTION ".pod", err) : 0;
}

// --- as in a plan -------------------------------------------------------------

static void add_text(json_t *made, const char *name, const char *text)
{
	if (text)
		json_object_set_new(made, name, json_string(text));
}

static void add_env(json_t *made, const char *name, const struct field_env *env)
{
	if (env->count)
		json_object_set_new(made, name, field_env_json(env));
}

static void add_texts(json_t *made, const char *name, const struct field_texts *texts)
{
	if (!texts->count)
		return;
	json_t *list = json_array();
	for (size_t i = 0; i < texts->count; i++)
		json_array_append_new(list, json_string(texts->items[i]));
	json_object_set_new(made, name, list);
}

// As Kubernetes writes them.
static void add_tolerations(json_t *made, const struct job_kubernetes *k)
{
	const struct job_toleration *t = k->tolerations.items;
	json_t *list = json_array();
	for (size_t i = 0; i < k->tolerations.count; i++) {
		json_t *one = mem_json("{s:s*, s:s, s:s*, s:s*}", "key", t[i].key, "operator",
			job_fields_operators[t[i].op], "value", t[i].value, "effect",
			t[i].effect >= 0 ? job_fields_effects[t[i].effect] : NULL);
		if (t[i].seconds >= 0)
			json_object_set_new(one, "tolerationSeconds", json_integer((json_int_t)ceil(t[i].seconds)));
		json_array_append_new(list, one);
	}
	if (k->tolerations.count)
		json_object_set(made, "tolerations", list);
	json_decref(list);
}

static json_t *make_volume(const struct job_pod_volume *v, size_t i)
{
	autofree char *name = volume_name(v, i);
	json_t *made = mem_json("{s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s*}", "name", name, "mount_path", v->mount_path,
		"sub_path", v->sub_path, "host_path", v->host_path, "claim", v->claim, "config_map", v->config_map,
		"secret", v->secret);
	if (v->read_only > 0)
		json_object_set_new(made, "read_only", json_true());
	if (!v->empty_dir.place.node)
		return made;
	json_t *empty = mem_json("{s:b}", "memory", v->empty_dir.medium == JOB_MEMORY);
	if (v->empty_dir.size > 0)
		json_object_set_new(empty, "size", json_integer(v->empty_dir.size));
	json_object_set_new(made, "empty_dir", empty);
	return made;
}

static void add_volumes(json_t *made, const struct job_kubernetes *k)
{
	const struct job_pod_volume *volumes = k->volumes.items;
	json_t *list = json_array();
	for (size_t i = 0; i < k->volumes.count; i++)
		json_array_append_new(list, make_volume(&volumes[i], i));
	if (k->volumes.count)
		json_object_set(made, "volumes", list);
	json_decref(list);
}

// How long the Jobs may live: a pod that never starts has no agent whose lease could end it. 0: without end.
static double deadline_of(const json_t *plan, const json_t *site, bool persistent)
{
	const double of_site = json_number(site, "kubernetes_deadline");
	double attempts = (double)plan_retries(plan) + 1;
	double ranks = plan_timeout(plan) > 0 ? attempts * (plan_timeout(plan) + plan_grace(plan)) : INFINITY;
	double whole = fmin(ranks, plan_budget(plan).max_time);
	if (persistent || isinf(whole))
		return of_site > 0 ? ceil(of_site) : persistent ? 0 : no_limit;
	for (size_t i = 0; i < plan_steps(plan); i++)
		whole += plan_step(plan, i).timeout;
	return ceil(whole + plan_deadline(plan) + plan_grace(plan) + slack);
}

int kubernetes_add(const struct job *job, const json_t *site, bool persistent, json_t *plan, struct error *err)
{
	const struct job_kubernetes *k = &job->cluster.kubernetes;
	if (!job->cluster.traits->makes_pods)
		return 0;
	if (check(k, err) || check_roles(&job->cluster, err))
		return -1;
	json_t *made = mem_json("{s:s*, s:s*, s:s*, s:s*, s:s*, s:s*, s:s*}", "context", k->context, "namespace",
		k->namespace, "queue", k->queue, "scheduler_name", k->scheduler_name, "priority_class",
		k->priority_class, "service_account", k->service_account, "agent_image", k->agent_image);
	add_texts(made, "image_pull_secrets", &k->image_pull_secrets);
	add_text(made, "image_pull_policy",
		k->image_pull_policy >= 0 ? job_fields_pull_policies[k->image_pull_policy] : NULL);
	add_env(made, "node_selector", &k->node_selector);
	add_env(made, "annotations", &k->annotations);
	add_env(made, "labels", &k->labels);
	add_env(made, "resources", &k->resources);
	add_tolerations(made, k);
	add_volumes(made, k);
	if (k->host_network > 0)
		json_object_set_new(made, "host_network", json_true());
	if (k->shm > 0)
		json_object_set_new(made, "shm", json_integer(k->shm));
	if (k->pod)
		json_object_set_new(made, "pod", pod_overlay_json(k->pod));
	double deadline = deadline_of(plan, site, persistent);
	if (deadline > 0)
		json_object_set_new(made, "active_deadline", mem_number(deadline));
	json_object_set_new(plan, "kubernetes", made);
	return 0;
}
