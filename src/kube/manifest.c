#include "kube/manifest.h"

#include "base/crypto.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/plan.h"
#include "job/pod_overlay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	GRACE = 30,             // seconds more than ranks have to end, for their outputs
	KEPT = 60,              // seconds that a Job is kept when it has ended, so that its pods can say why
	UNREACHABLE_MAX = 300,  // seconds; what pods have by themselves
	NAME_MAX_LEN = 63 - 11, // of a Job: its pods are called NAME-INDEX-abcde, and the longest index has 4 digits
	HASH = 10,              // hexadecimal digits
	LABEL_MAX = 63,
};
#define SHM_DEFAULT (1LL << 30)

#define HOST "kubernetes.io/hostname"
#define INDEX "batch.kubernetes.io/job-completion-index"
#define AGENT "muster.agent" // what agent_parts looks for

// One Job in the making.
struct job {
	const struct manifest *m;
	json_t *nodes; // their numbers, of one role
	size_t before;
};

// --- names ----------------------------------------------------------------------

// At most max characters that begin as text does, told apart from what other keys give by a hash.
static char *shorten(const char *text, size_t max, const char *key)
{
	char hex[CRYPTO_HEX];
	crypto_sha256(key, strlen(key), hex);
	size_t len = strlen(text) < max - HASH - 1 ? strlen(text) : max - HASH - 1;
	while (len && text[len - 1] == '-')
		len--;
	return mem_printf("%.*s-%.*s", (int)len, text, HASH, hex);
}

// Run and role are letters, digits and '-': the last '-' of a name parts them only when the role has none.
char *manifest_name(const char *run, const char *role, size_t before)
{
	autofree char *name = mem_printf("muster-%s-%s", run, role);
	autofree char *key = mem_printf("%s %s %zu", run, role, before);
	if (!before && !strchr(role, '-') && strlen(name) <= NAME_MAX_LEN)
		return steal(name);
	return shorten(name, NAME_MAX_LEN, key);
}

static char *label_of(const char *text)
{
	return strlen(text) <= LABEL_MAX ? mem_strdup(text) : shorten(text, LABEL_MAX, text);
}

// --- numbers of nodes -------------------------------------------------------------

static size_t number_at(const json_t *nodes, size_t i)
{
	return (size_t)json_integer_value(json_array_get(nodes, i));
}

static char *print_nodes(const json_t *nodes)
{
	autostr struct str s = {0};
	size_t count = json_array_size(nodes);
	for (size_t i = 0, end; i < count; i = end) {
		for (end = i + 1; end < count && number_at(nodes, end) == number_at(nodes, end - 1) + 1;)
			end++;
		str_printf(&s, "%s%zu", i ? "," : "", number_at(nodes, i));
		if (end > i + 1)
			str_printf(&s, "-%zu", number_at(nodes, end - 1));
	}
	return str_steal(&s);
}

// A number at *text, which then points behind it. False for none, and for one that is too large.
static bool read_number(const char **text, size_t *number)
{
	size_t digits = strspn(*text, "0123456789");
	*number = digits && digits <= 5 ? strtoul(*text, NULL, 10) : PLAN_NODES_MAX;
	*text += digits;
	return *number < PLAN_NODES_MAX;
}

// "3" or "0-2" at *text, appended.
static bool read_range(const char **text, json_t *nodes)
{
	size_t first, last;
	if (!read_number(text, &first))
		return false;
	last = first;
	if (**text == '-' && (++*text, !read_number(text, &last)))
		return false;
	if (last < first || json_array_size(nodes) + (last - first) >= PLAN_NODES_MAX)
		return false;
	for (; first <= last; first++)
		json_array_append_new(nodes, json_integer((json_int_t)first));
	return true;
}

static const char *annotation(const json_t *object, const char *name)
{
	return json_text(json_object_get(json_object_get(object, "metadata"), "annotations"), name);
}

json_t *manifest_nodes(const json_t *object)
{
	const char *text = annotation(object, MANIFEST_NODES);
	autojson json_t *nodes = json_array();
	if (!text)
		return NULL;
	do {
		if (!read_range(&text, nodes))
			return NULL;
	} while (*text++ == ',');
	return text[-1] ? NULL : steal(nodes);
}

long manifest_node(const json_t *pod)
{
	const char *text = annotation(pod, INDEX);
	size_t index;
	autojson json_t *nodes = manifest_nodes(pod);
	return nodes && text && read_number(&text, &index) && !*text && index < json_array_size(nodes)
		       ? (long)number_at(nodes, index)
		       : -1;
}

json_t *manifest_owner(const json_t *job)
{
	const json_t *metadata = json_object_get(job, "metadata");
	const char *name = json_text(metadata, "name"), *uid = json_text(metadata, "uid");
	if (!name || !uid)
		return NULL;
	return mem_json("{s:s, s:s, s:s, s:s}", "apiVersion", "batch/v1", "kind", "Job", "name", name, "uid", uid);
}

// --- labels ---------------------------------------------------------------------

static void update(json_t *object, const json_t *with)
{
	if (with)
		json_object_update(object, (json_t *)with);
}

static json_t *make_labels(const struct job *j, const char *role)
{
	autofree char *value = label_of(role);
	json_t *labels = mem_json("{s:s, s:s, s:s, s:s*}", "app.kubernetes.io/managed-by", "muster", MANIFEST_RUN,
		j->m->label, MANIFEST_ROLE, value, AGENT, j->m->agent_label);
	update(labels, json_object_get(plan_kubernetes(j->m->plan), "labels"));
	return labels;
}

static json_t *make_annotations(const struct job *j)
{
	autofree char *nodes = print_nodes(j->nodes);
	json_t *annotations = mem_json("{s:s}", MANIFEST_NODES, nodes);
	update(annotations, json_object_get(plan_kubernetes(j->m->plan), "annotations"));
	return annotations;
}

static json_t *make_job_metadata(const struct job *j, const char *role)
{
	const char *queue = json_text(plan_kubernetes(j->m->plan), "queue");
	autofree char *name = manifest_name(j->m->label, role, j->before);
	json_t *labels = make_labels(j, role), *annotations = make_annotations(j);
	if (queue)
		json_object_set_new(labels, "kueue.x-k8s.io/queue-name", json_string(queue));
	update(annotations, j->m->annotations);
	return mem_json("{s:s, s:o, s:o}", "name", name, "labels", labels, "annotations", annotations);
}

// No mesh: a proxy beside the node would never end, and would come between the ranks. And an autoscaler that wants to
// free a machine waits for the end of the run.
static json_t *make_pod_metadata(const struct job *j, const char *role)
{
	json_t *labels = make_labels(j, role), *annotations = make_annotations(j);
	autojson json_t *alone = mem_json("{s:s}", "sidecar.istio.io/inject", "false");
	autojson json_t *left_alone = mem_json("{s:s, s:s, s:s, s:s}", "sidecar.istio.io/inject", "false",
		"linkerd.io/inject", "disabled", "cluster-autoscaler.kubernetes.io/safe-to-evict", "false",
		"karpenter.sh/do-not-disrupt", "true");
	json_object_update_missing(labels, alone); // a label or annotation of the job file wins
	json_object_update_missing(annotations, left_alone);
	return mem_json("{s:o, s:o}", "labels", labels, "annotations", annotations);
}

// --- volumes --------------------------------------------------------------------

static bool mounts(const json_t *volumes, const char *path)
{
	size_t i;
	json_t *volume;
	json_array_foreach (volumes, i, volume)
		if (json_is(volume, "mount_path", path))
			return true;
	return false;
}

static json_t *empty_dir(bool memory, json_int_t size)
{
	json_t *empty = json_object();
	autofree char *limit = mem_printf("%lld", (long long)size);
	if (memory)
		json_object_set_new(empty, "medium", json_string("Memory"));
	if (size > 0)
		json_object_set_new(empty, "sizeLimit", json_string(limit));
	return empty;
}

// What a volume of the job file is, as Kubernetes says it; *type is the member of a volume.
static json_t *make_source(const json_t *volume, const char **type)
{
	static const struct {
		const char *key, *type, *member;
	} named[] = {
		{"host_path", "hostPath", "path"},
		{"claim", "persistentVolumeClaim", "claimName"},
		{"config_map", "configMap", "name"},
		{"secret", "secret", "secretName"},
	};
	for (size_t i = 0; i < countof(named); i++) {
		*type = named[i].type;
		if (json_text(volume, named[i].key))
			return mem_json("{s:s}", named[i].member, json_text(volume, named[i].key));
	}
	const json_t *empty = json_object_get(volume, "empty_dir");
	*type = "emptyDir";
	return empty_dir(json_flag(empty, "memory"), json_int(empty, "size"));
}

static void add_volume(json_t *volumes, json_t *mounts, const json_t *volume)
{
	const char *type, *name = json_text(volume, "name");
	json_t *source = make_source(volume, &type);
	json_array_append_new(volumes, mem_json("{s:s, s:o}", "name", name, type, source));
	json_t *mount = mem_json("{s:s, s:s, s:s*}", "name", name, "mountPath", json_text(volume, "mount_path"),
		"subPath", json_text(volume, "sub_path"));
	if (json_flag(volume, "read_only"))
		json_object_set_new(mount, "readOnly", json_true());
	json_array_append_new(mounts, mount);
}

// /dev/shm of 64 MiB, which containers have otherwise, is too little for MPI and data loaders.
static void add_shm(json_t *volumes, json_t *mounts, json_int_t size)
{
	json_array_append_new(volumes,
		mem_json("{s:s, s:o}", "name", "muster-shm", "emptyDir", empty_dir(true, size ? size : SHM_DEFAULT)));
	json_array_append_new(mounts, mem_json("{s:s, s:s}", "name", "muster-shm", "mountPath", "/dev/shm"));
}

static void add_volumes(const struct job *j, json_t *volumes, json_t *container)
{
	const json_t *k = plan_kubernetes(j->m->plan), *wanted = json_object_get(k, "volumes");
	json_t *mounted = json_object_get(container, "volumeMounts");
	size_t i;
	json_t *volume;
	json_array_foreach (wanted, i, volume)
		add_volume(volumes, mounted, volume);
	if (!mounts(wanted, "/dev/shm"))
		add_shm(volumes, mounted, json_int(k, "shm"));
}

// --- containers -----------------------------------------------------------------

// Requests equal to limits: what a node has is what it was given, however full its machine is.
static json_t *make_resources(const struct job *j, const struct plan_node *node)
{
	autojson json_t *each = json_object();
	long thousandths = lround(node->cpus * 1000);
	autofree char *cpus =
		thousandths % 1000 ? mem_printf("%ldm", thousandths) : mem_printf("%ld", thousandths / 1000);
	autofree char *memory = mem_printf("%lld", node->memory);
	if (node->cpus > 0)
		json_object_set_new(each, "cpu", json_string(cpus));
	if (node->memory > 0)
		json_object_set_new(each, "memory", json_string(memory));
	update(each, node->resources ? node->resources : json_object_get(plan_kubernetes(j->m->plan), "resources"));
	return json_object_size(each) ? mem_json("{s:O, s:O}", "requests", each, "limits", each) : NULL;
}

// What the profile *restricted* asks of each container.
static void restrict_container(json_t *container, json_t *resources)
{
	json_object_set_new(container, "securityContext",
		mem_json("{s:b, s:{s:[s]}}", "allowPrivilegeEscalation", 0, "capabilities", "drop", "ALL"));
	if (resources)
		json_object_set(container, "resources", resources);
}

static json_t *make_container(const struct job *j, const struct plan_node *node, json_t *resources)
{
	json_t *container = mem_json("{s:s, s:s, s:s*, s:o, s:o, s:s}", "name", POD_OVERLAY_CONTAINER, "image",
		node->image, "imagePullPolicy", json_text(plan_kubernetes(j->m->plan), "image_pull_policy"), "command",
		json_deep_copy(json_object_get(j->m->agent, "command")), "volumeMounts",
		json_deep_copy(json_object_get(j->m->agent, "volumeMounts")), "terminationMessagePolicy",
		"FallbackToLogsOnError");
	restrict_container(container, resources);
	return container;
}

static void add_init_containers(const struct job *j, json_t *spec, json_t *resources)
{
	json_t *list = json_deep_copy(json_object_get(j->m->agent, "initContainers"));
	size_t i;
	json_t *container;
	json_array_foreach (list, i, container)
		restrict_container(container, resources);
	if (list)
		json_object_set_new(spec, "initContainers", list);
}

// --- where pods go --------------------------------------------------------------

static bool tolerates(const json_t *tolerations, const char *key)
{
	size_t i;
	json_t *toleration;
	json_array_foreach (tolerations, i, toleration)
		if (json_is(toleration, "key", key))
			return true;
	return false;
}

// A machine that is gone is waited for as long as the controller waits, not 300 s.
static json_t *make_tolerations(const struct job *j)
{
	static const char *const gone[] = {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"};
	const json_t *wanted = json_object_get(plan_kubernetes(j->m->plan), "tolerations");
	json_t *list = wanted ? json_deep_copy(wanted) : json_array();
	double lease = ceil(plan_lease(j->m->plan));
	for (size_t i = 0; i < countof(gone); i++)
		if (!tolerates(wanted, gone[i]))
			json_array_append_new(list,
				mem_json("{s:s, s:s, s:s, s:I}", "key", gone[i], "operator", "Exists", "effect",
					"NoExecute", "tolerationSeconds", (json_int_t)fmin(lease, UNREACHABLE_MAX)));
	return list;
}

static void add_placement(const struct job *j, json_t *spec)
{
	const json_t *k = plan_kubernetes(j->m->plan);
	json_t *selector = mem_json("{s:s}", "kubernetes.io/os", "linux");
	update(selector, json_object_get(j->m->agent, "nodeSelector"));
	update(selector, json_object_get(k, "node_selector"));
	json_object_set_new(spec, "nodeSelector", selector);
	json_object_set_new(spec, "tolerations", make_tolerations(j));
	json_object_set_new(spec, "topologySpreadConstraints",
		mem_json("[{s:i, s:s, s:s, s:{s:{s:s}}}]", "maxSkew", 1, "topologyKey", HOST, "whenUnsatisfiable",
			"ScheduleAnyway", "labelSelector", "matchLabels", MANIFEST_RUN, j->m->label));
	if (!json_flag(k, "host_network"))
		return;
	// Ports and the host's name are the machine's then.
	json_object_set_new(spec, "hostNetwork", json_true());
	json_object_set_new(spec, "dnsPolicy", json_string("ClusterFirstWithHostNet"));
	json_object_set_new(spec, "affinity",
		mem_json("{s:{s:[{s:s, s:{s:{s:s}}}]}}", "podAntiAffinity",
			"requiredDuringSchedulingIgnoredDuringExecution", "topologyKey", HOST, "labelSelector",
			"matchLabels", MANIFEST_RUN, j->m->label));
}

static void add_names(const struct job *j, json_t *spec)
{
	const json_t *k = plan_kubernetes(j->m->plan), *secrets = json_object_get(k, "image_pull_secrets");
	static const struct {
		const char *key, *member;
	} names[] = {
		{"scheduler_name", "schedulerName"},
		{"priority_class", "priorityClassName"},
		{"service_account", "serviceAccountName"},
	};
	for (size_t i = 0; i < countof(names); i++)
		if (json_text(k, names[i].key))
			json_object_set(spec, names[i].member, json_object_get(k, names[i].key));
	json_t *list = secrets ? json_array() : NULL;
	size_t i;
	json_t *secret;
	json_array_foreach (secrets, i, secret)
		json_array_append_new(list, mem_json("{s:O}", "name", secret));
	if (list)
		json_object_set_new(spec, "imagePullSecrets", list);
}

// --- the whole ------------------------------------------------------------------

static json_t *make_pod(const struct job *j, const struct plan_node *node)
{
	autojson json_t *resources = make_resources(j, node);
	json_t *container = make_container(j, node, resources);
	json_t *volumes = json_deep_copy(json_object_get(j->m->agent, "volumes"));
	add_volumes(j, volumes, container);
	json_t *context = mem_json("{s:{s:s}}", "seccompProfile", "type", "RuntimeDefault");
	if (j->m->run_as_non_root)
		json_object_set_new(context, "runAsNonRoot", json_true());
	json_t *spec = mem_json("{s:s, s:I, s:b, s:b, s:o, s:[o], s:o}", "restartPolicy", "Never",
		"terminationGracePeriodSeconds", (json_int_t)ceil(plan_grace(j->m->plan)) + GRACE, "enableServiceLinks",
		0, "automountServiceAccountToken", json_text(plan_kubernetes(j->m->plan), "service_account") != NULL,
		"securityContext", context, "containers", container, "volumes", volumes);
	add_init_containers(j, spec, resources);
	add_placement(j, spec);
	add_names(j, spec);
	return spec;
}

static json_t *make_template(const struct job *j, const struct plan_node *node)
{
	json_t *template =
		mem_json("{s:o, s:o}", "metadata", make_pod_metadata(j, node->role), "spec", make_pod(j, node));
	const json_t *overlay = json_object_get(plan_kubernetes(j->m->plan), "pod");
	if (overlay)
		pod_overlay_merge(template, overlay);
	return template;
}

// A pod that is being deleted has no successor while it is there: it would be a second one of the same node. Of a
// persistent cluster one node that is lost does not take the others with it.
static json_t *make_job(const struct job *j)
{
	const json_t *k = plan_kubernetes(j->m->plan);
	struct plan_node node = plan_node(j->m->plan, number_at(j->nodes, 0));
	json_int_t count = (json_int_t)json_array_size(j->nodes), deadline = json_int(k, "active_deadline");
	bool persistent = plan_actions(j->m->plan);
	json_t *spec = mem_json("{s:s, s:I, s:I, s:i, s:s, s:i, s:o}", "completionMode", "Indexed", "completions",
		count, "parallelism", count, persistent ? "backoffLimitPerIndex" : "backoffLimit", 0,
		"podReplacementPolicy", "Failed", "ttlSecondsAfterFinished", (int)KEPT, "template",
		make_template(j, &node));
	if (deadline > 0)
		json_object_set_new(spec, "activeDeadlineSeconds", json_integer(deadline));
	if (json_text(k, "queue")) // Kueue lets it start
		json_object_set_new(spec, "suspend", json_true());
	return mem_json("{s:s, s:s, s:o, s:o}", "apiVersion", "batch/v1", "kind", "Job", "metadata",
		make_job_metadata(j, node.role), "spec", spec);
}

// The nodes from the i-th on that have its role. Owned by the caller.
static json_t *same_role(const json_t *plan, const json_t *nodes, size_t i)
{
	const char *role = plan_node(plan, number_at(nodes, i)).role;
	json_t *same = json_array();
	for (; i < json_array_size(nodes) && strcmp(plan_node(plan, number_at(nodes, i)).role, role) == 0; i++)
		json_array_append(same, json_array_get(nodes, i));
	return same;
}

static int check_nodes(const json_t *plan, const json_t *nodes, struct error *err)
{
	for (size_t i = 0; i < json_array_size(nodes); i++) {
		size_t number = number_at(nodes, i);
		struct plan_node node = plan_node(plan, number);
		if (number >= plan_nodes(plan) || !node.role)
			return error_set(err, ERROR_SYSTEM, "found node %zu, expected one of the plan's %zu", number,
				plan_nodes(plan));
		if (!node.image)
			return error_set(err, ERROR_USAGE,
				"'%s' has no image, expected 'cluster.image' for the kubernetes executor", node.name);
	}
	return 0;
}

json_t *manifest_make(const struct manifest *m, const json_t *nodes, size_t *before, struct error *err)
{
	if (check_nodes(m->plan, nodes, err))
		return NULL;
	json_t *jobs = json_array();
	for (size_t i = 0, end; i < json_array_size(nodes); i = end) {
		autojson json_t *same = same_role(m->plan, nodes, i);
		struct job j = {m, same, *before};
		json_array_append_new(jobs, make_job(&j));
		end = i + json_array_size(same);
	}
	*before += json_array_size(jobs);
	return jobs;
}
