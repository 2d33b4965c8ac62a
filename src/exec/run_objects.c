#include "exec/run_objects.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/process_mark.h"
#include "base/str.h"
#include "base/url.h"
#include "exec/intent_log.h"
#include "job/plan.h"
#include "kube/agent_parts.h"
#include "kube/manifest.h"
#include "node/node_dirs.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MACHINE "muster.machine"
#define CONTROLLER "muster.controller"
#define RUN_DIR "muster.run_dir"
#define JOB_NAME "batch.kubernetes.io/job-name"
static const char own_log[] = "kubernetes"; // among the intents
static const double spare = 30;             // seconds that pods may take longer than their grace
static const double orphan = 3;             // seconds until pods follow their Job
static const double forced_after = 10;      // seconds that pods have when they are to be forgotten
static const double breath = 0.5;           // seconds between two looks when no watch can be had
static const double glance = 3;             // seconds for a cluster of which nobody says that something is there
enum { GONE = 404, FORBIDDEN = 403 };
enum { LOOK_AGAIN = 2 }; // seconds, at most

// --- whose it is ------------------------------------------------------------------

json_t *run_objects_annotations(const char *run_dir)
{
	autofree char *machine = process_mark_machine(), *own = process_mark_own();
	autofree char *clean = run_dir ? str_utf8_clean(run_dir, strlen(run_dir)) : NULL;
	return mem_json("{s:s, s:s, s:s*}", MACHINE, machine, CONTROLLER, own, RUN_DIR, clean);
}

int run_objects_save_intent(const struct cluster *c, struct api_server *server, size_t jobs, struct error *err)
{
	if (api_server_in_cluster(server))
		return 0;
	autofree char *run_dir = c->run_dir ? str_utf8_clean(c->run_dir, strlen(c->run_dir)) : NULL;
	autojson json_t *intent = mem_json("{s:s, s:s?, s:{s:i, s:I}, s:s, s:s, s:s, s:I}", "label", c->label,
		"run_dir", run_dir, "controller", "pid", (int)getpid(), "started", (json_int_t)proc_started(getpid()),
		"context", api_server_context(server), "namespace", api_server_namespace(server), "url",
		api_server_url(server), "jobs", (json_int_t)jobs);
	return intent_log_save(own_log, intent, err);
}

void run_objects_forget_intent(const char *label)
{
	intent_log_remove(own_log, label);
}

size_t run_objects_count_jobs(const char *label)
{
	autojson json_t *intents = intent_log_find(own_log, label);
	return (size_t)json_int(json_array_get(intents, 0), "jobs");
}

// --- where to look ----------------------------------------------------------------

// A namespace of a cluster.
struct spot {
	struct api_server *server;
	bool named;    // by an intent or a plan
	bool inside;   // where this process is
	json_t *found; // of its Jobs and pods, as the API server lists them
};

struct spots {
	struct spot *list;
	size_t count;
};

static void spots_free(struct spots *s)
{
	for (size_t i = 0; i < s->count; i++) {
		api_server_free(s->list[i].server);
		json_decref(s->list[i].found);
	}
	free(s->list);
}

static const char *text_or_null(const char *text)
{
	return text && *text ? text : NULL;
}

static bool is_known(const struct spots *s, const struct api_server *server)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(api_server_url(s->list[i].server), api_server_url(server)) == 0 &&
			strcmp(api_server_namespace(s->list[i].server), api_server_namespace(server)) == 0)
			return true;
	return false;
}

static int add_spot(struct spots *s, const char *context, const char *namespace, bool named, struct error *err)
{
	struct api_server *server = api_server_open(text_or_null(context), text_or_null(namespace), err);
	if (!server)
		return -1;
	if (is_known(s, server)) {
		api_server_free(server);
		return 0;
	}
	s->list = mem_resize(s->list, (s->count + 1) * sizeof *s->list);
	s->list[s->count++] = (struct spot){.server = server, .named = named};
	return 0;
}

static char *say_place(const json_t *intent)
{
	return mem_printf(
		"namespace '%s' of %s", json_text_or(intent, "namespace", ""), json_text_or(intent, "url", ""));
}

// The spot of an intent. A context of that name may be another cluster by now.
static int add_intent(struct spots *s, const json_t *intent, struct error *err)
{
	autofree char *place = say_place(intent);
	size_t before = s->count;
	if (add_spot(s, json_text(intent, "context"), json_text(intent, "namespace"), true, err))
		return error_wrap(err, "run '%s' has made pods in %s", json_text_or(intent, "label", ""), place);
	if (s->count == before || json_is(intent, "url", api_server_url(s->list[before].server)))
		return 0;
	error_set(err, ERROR_USAGE, "run '%s' has made pods in %s, but the context '%s' is %s now: set KUBECONFIG",
		json_text_or(intent, "label", ""), place, json_text_or(intent, "context", ""),
		api_server_url(s->list[before].server));
	api_server_free(s->list[--s->count].server);
	return -1;
}

static int add_plan(struct spots *s, const json_t *plan, struct error *err)
{
	const json_t *k = plan ? plan_kubernetes(plan) : NULL;
	return plan ? add_spot(s, json_text(k, "context"), json_text(k, "namespace"), true, err) : 0;
}

static void add_current(struct spots *s)
{
	if (api_server_is_configured())
		add_spot(s, NULL, NULL, false, NULL);
}

// --- asking -------------------------------------------------------------------------

static char *selector_of(const char *label)
{
	autofree char *text = label ? mem_printf(MANIFEST_RUN "=%s", label) : mem_strdup(MANIFEST_RUN);
	return url_quote(text);
}

static char *path_of(const struct api_server *s, const char *what, const char *label)
{
	autofree char *selector = selector_of(label);
	return mem_printf("%s/namespaces/%s/%s?labelSelector=%s",
		strcmp(what, "jobs") == 0 ? "/apis/batch/v1" : "/api/v1", api_server_namespace(s), what, selector);
}

static int ask(const struct spot *spot, const char *method, const char *path, const json_t *body, json_t **answer,
	struct error *err)
{
	struct api_server_ask it = {
		.method = method, .path = path, .body = body, .once = !spot->named, .idle = spot->named ? 0 : glance};
	int status = api_server_ask(spot->server, &it, answer, err);
	return status;
}

// The Jobs or pods of a run (NULL: of any), an array owned by the caller. A namespace that is gone has none. *version
// (may be NULL) is where a watch begins, owned by the caller.
static json_t *list_since(
	const struct spot *spot, const char *what, const char *label, char **version, struct error *err)
{
	autofree char *path = path_of(spot->server, what, label);
	autojson json_t *answer = NULL;
	int status = ask(spot, "GET", path, NULL, &answer, err);
	if (status == GONE)
		return json_array();
	if (status < 0 || status >= 400)
		return NULL;
	if (version)
		*version = mem_strdup(json_text_or(json_object_get(answer, "metadata"), "resourceVersion", ""));
	json_t *items = json_object_get(answer, "items");
	return json_is_array(items) ? json_incref(items) : json_array();
}

static json_t *list_objects(const struct spot *spot, const char *what, const char *label, struct error *err)
{
	return list_since(spot, what, label, NULL, err);
}

static const char *meta(const json_t *object, const char *group, const char *name)
{
	const json_t *metadata = json_object_get(object, "metadata");
	return json_text_or(*group ? json_object_get(metadata, group) : metadata, name, "");
}

static json_t *delete_options(int grace)
{
	json_t *options = mem_json("{s:s, s:s, s:s}", "apiVersion", "v1", "kind", "DeleteOptions", "propagationPolicy",
		"Background"); // a Job leaves its pods behind without this
	if (grace >= 0)
		json_object_set_new(options, "gracePeriodSeconds", json_integer(grace));
	return options;
}

static int delete_objects(const struct spot *spot, const char *path, int grace, struct error *err)
{
	autojson json_t *body = delete_options(grace);
	int status = ask(spot, "DELETE", path, body, NULL, err);
	return status == GONE || (status >= 0 && status < 400) ? 0 : -1;
}

static int delete_one(const struct spot *spot, const char *what, const char *name, int grace, struct error *err)
{
	autofree char *path =
		mem_printf("%s/namespaces/%s/%s/%s", strcmp(what, "jobs") == 0 ? "/apis/batch/v1" : "/api/v1",
			api_server_namespace(spot->server), what, name);
	return delete_objects(spot, path, grace, err) ? error_wrap(err, "cannot delete %s", name) : 0;
}

// --- sweeping -----------------------------------------------------------------------

static bool is_some_wanted(const json_t *job, bool (*is_wanted)(const char *job, size_t node, void *data), void *data)
{
	autojson json_t *nodes = manifest_nodes(job);
	size_t i;
	json_t *node;
	json_array_foreach (nodes, i, node)
		if (is_wanted(meta(job, "", "name"), (size_t)json_integer_value(node), data))
			return true;
	return false;
}

static bool is_over(const json_t *pod)
{
	const json_t *status = json_object_get(pod, "status");
	return *meta(pod, "", "deletionTimestamp") || json_is(status, "phase", "Succeeded") ||
	       json_is(status, "phase", "Failed");
}

int run_objects_sweep(struct api_server *server, const char *label,
	bool (*is_wanted)(const char *job, size_t node, void *data), void *data, struct error *err)
{
	struct spot spot = {.server = server, .named = true};
	autojson json_t *jobs = list_objects(&spot, "jobs", label, err);
	autojson json_t *pods = jobs && json_array_size(jobs) ? list_objects(&spot, "pods", label, err) : json_array();
	if (!jobs || !pods)
		return -1;
	autojson json_t *kept = json_object();
	size_t i;
	json_t *object;
	json_array_foreach (jobs, i, object) {
		const char *name = meta(object, "", "name");
		if (is_some_wanted(object, is_wanted, data))
			json_object_set_new(kept, name, json_true());
		else if (!*meta(object, "", "deletionTimestamp") && delete_one(&spot, "jobs", name, -1, err))
			return -1;
	}
	json_array_foreach (pods, i, object) {
		const char *job = meta(object, "labels", JOB_NAME);
		long node = manifest_node(object);
		bool ours = json_object_get(kept, job) && node >= 0 && !is_over(object);
		if (ours && !is_wanted(job, (size_t)node, data) &&
			delete_one(&spot, "pods", meta(object, "", "name"), -1, err))
			return -1;
	}
	return 0;
}

// --- removing -----------------------------------------------------------------------

// The longest grace of the pods that are ending; 0 when none is.
static double longest_grace(const json_t *pods)
{
	double most = 0;
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod) {
		double grace = json_number(json_object_get(pod, "metadata"), "deletionGracePeriodSeconds");
		most = grace > most ? grace : most;
	}
	return most;
}

static int say_stuck(const json_t *pods, double seconds, struct error *err)
{
	const json_t *pod = json_array_get(pods, 0);
	const char *machine = json_text_or(json_object_get(pod, "spec"), "nodeName", "");
	autofree char *where = *machine ? mem_printf(" on the machine '%s'", machine) : mem_strdup("");
	return error_set(err, ERROR_SYSTEM,
		"%zu of the pods did not end within %.0f s; the first is '%s'%s, stuck in Terminating: "
		"`muster reap --force` removes them, whatever still runs on that machine",
		json_array_size(pods), seconds, meta(pod, "", "name"), where);
}

static bool is_some_left_alone(const json_t *pods)
{
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod)
		if (!*meta(pod, "", "deletionTimestamp"))
			return true;
	return false;
}

static int delete_pods(const struct spot *spot, const json_t *pods, int grace, struct error *err)
{
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod)
		if (delete_one(spot, "pods", meta(pod, "", "name"), grace, err))
			return -1;
	return 0;
}

static int on_change(const json_t *line, void *data, struct error *err)
{
	size_t *left = data;
	*left -= json_is(line, "type", "DELETED") && *left;
	return *left ? 0 : error_set(err, ERROR_SYSTEM, "all have gone");
}

// Returns when so many pods have gone, or it is time to look again.
static void await_end(const struct spot *spot, const char *label, const char *version, size_t count)
{
	double begun = clock_mono();
	autofree char *pods = path_of(spot->server, "pods", label);
	autofree char *path = mem_printf("%s&watch=1&resourceVersion=%s&timeoutSeconds=%d", pods, version, LOOK_AGAIN);
	struct api_server_ask watch = {.method = "GET",
		.path = path,
		.accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
		.idle = 2 * LOOK_AGAIN,
		.once = true,
		.on_line = on_change,
		.data = &count};
	api_server_ask(spot->server, &watch, NULL, NULL);
	if (count && clock_mono() < begun + breath)
		poll(NULL, 0, (int)(breath * 1000));
}

// Pods that have ended go at once, others within their grace.
static int wait_for_pods(const struct spot *spot, const char *label, bool force, struct error *err)
{
	double begun = clock_mono(), grace = 0;
	bool pushed = false;
	for (;;) {
		autofree char *version = NULL;
		autojson json_t *pods = list_since(spot, "pods", label, &version, err);
		if (!pods)
			return -1;
		if (json_array_size(pods) == 0)
			return 0;
		double seconds = clock_mono() - begun;
		grace = longest_grace(pods) > grace ? longest_grace(pods) : grace;
		// Whose Job was removed without them does not follow it.
		if (!pushed && seconds > orphan && is_some_left_alone(pods)) {
			pushed = true;
			if (delete_pods(spot, pods, -1, err))
				return -1;
		}
		if (force && seconds > forced_after && delete_pods(spot, pods, 0, err))
			return -1;
		if (seconds > grace + spare)
			return say_stuck(pods, seconds, err);
		await_end(spot, label, version ? version : "", json_array_size(pods));
	}
}

static int remove_run(const struct spot *spot, const char *label, bool force, struct error *err)
{
	autofree char *path = path_of(spot->server, "jobs", label);
	if (delete_objects(spot, path, -1, err))
		return error_wrap(err, "cannot delete the Jobs of run '%s'", label);
	return wait_for_pods(spot, label, force, err);
}

// --- what belongs to whom -----------------------------------------------------------

static const json_t *find_intent(const json_t *intents, const char *label)
{
	size_t i;
	json_t *intent;
	json_array_foreach (intents, i, intent)
		if (json_is(intent, "label", label))
			return intent;
	return NULL;
}

static bool is_intent_live(const json_t *intent)
{
	return node_dirs_alive(json_object_get(intent, "controller"));
}

// By run: what is known of its controller: {"live", "controller", "run_dir"}.
static json_t *describe_owner(const json_t *jobs, const json_t *intents, const char *label)
{
	const json_t *intent = find_intent(intents, label);
	if (intent) {
		json_t *owner = mem_json("{s:b, s:O}", "live", is_intent_live(intent), "controller",
			json_object_get(intent, "controller"));
		if (json_text(intent, "run_dir"))
			json_object_set(owner, "run_dir", json_object_get(intent, "run_dir"));
		return owner;
	}
	size_t i;
	json_t *job;
	json_array_foreach (jobs, i, job) {
		if (strcmp(meta(job, "labels", MANIFEST_RUN), label) != 0)
			continue;
		json_t *process = NULL;
		bool live = process_mark_is_live(
			meta(job, "annotations", MACHINE), meta(job, "annotations", CONTROLLER), &process);
		const char *run_dir = meta(job, "annotations", RUN_DIR);
		return mem_json(
			"{s:b, s:o*, s:s*}", "live", live, "controller", process, "run_dir", text_or_null(run_dir));
	}
	return mem_json("{s:b}", "live", 0); // pods without a Job
}

static void note(json_t *found, const char *run, const char *what, const char *id, const json_t *owner)
{
	json_t *item = mem_json("{s:s, s:s, s:s}", "run", run, "what", what, "id", id);
	json_object_update(item, (json_t *)owner);
	json_array_append_new(found, item);
}

static void note_objects(json_t *found, const struct spot *spot, const char *what, const json_t *objects,
	const json_t *jobs, const json_t *intents)
{
	size_t i;
	json_t *object;
	json_array_foreach (objects, i, object) {
		const char *run = meta(object, "labels", MANIFEST_RUN),
			   *machine = json_text_or(json_object_get(object, "spec"), "nodeName", "");
		autofree char *id = mem_printf("%s in namespace %s%s%s", meta(object, "", "name"),
			api_server_namespace(spot->server), *machine ? " on " : "", machine);
		autojson json_t *owner = describe_owner(jobs, intents, run);
		note(found, run, what, id, owner);
	}
}

// What the API server has at this spot. What has no name is passed over when it does not answer.
static int list_spot(
	json_t *found, const struct spot *spot, const char *label, const json_t *intents, struct error *err)
{
	bool set = label && agent_parts_is_set(label);
	autojson json_t *jobs = set ? json_array() : list_objects(spot, "jobs", label, err);
	autojson json_t *pods = set ? json_array() : jobs ? list_objects(spot, "pods", label, err) : NULL;
	if (!jobs || !pods)
		return -1;
	note_objects(found, spot, "Job", jobs, jobs, intents);
	note_objects(found, spot, "pod", pods, jobs, intents);
	return (label && !set) || !agent_parts_find_unused(spot->server, label, found, err) ? 0 : -1;
}

// --- down and left ------------------------------------------------------------------

// A cluster that is out of reach is no reason not to clean up others: it is among what is left.
static void note_unreachable(json_t *found, const json_t *intent, const char *why)
{
	autojson json_t *owner = describe_owner(NULL, NULL, "");
	autofree char *place = say_place(intent), *id = mem_printf("%s: %s", place, why);
	json_object_set_new(owner, "live", json_boolean(is_intent_live(intent)));
	json_object_set(owner, "controller", json_object_get(intent, "controller"));
	note(found, json_text_or(intent, "label", ""), "pods", id, owner);
}

static int list_intent(json_t *found, struct spots *s, const json_t *intent, const json_t *intents, const char *label)
{
	struct error err = {0};
	size_t before = s->count;
	autojson json_t *owner = mem_json(
		"{s:b, s:O}", "live", is_intent_live(intent), "controller", json_object_get(intent, "controller"));
	if (label || !is_intent_live(intent))
		note(found, json_text_or(intent, "label", ""), "intent", json_text_or(intent, "label", ""), owner);
	if (add_intent(s, intent, &err) ||
		(s->count > before && list_spot(found, &s->list[before], label, intents, &err)))
		note_unreachable(found, intent, err.text);
	return 0;
}

int run_objects_list(const struct cluster *c, json_t *found, struct error *err)
{
	autojson json_t *intents = intent_log_find(own_log, c->label);
	struct spots s = {0};
	size_t i;
	json_t *intent;
	json_array_foreach (intents, i, intent)
		list_intent(found, &s, intent, intents, c->label);
	size_t named = s.count;
	int rc = add_plan(&s, c->plan, err);
	for (i = named; !rc && i < s.count; i++)
		rc = list_spot(found, &s.list[i], c->label, intents, err);
	named = s.count;
	add_current(&s);
	for (i = named; i < s.count; i++)
		list_spot(found, &s.list[i], c->label, intents, NULL);
	spots_free(&s);
	return rc;
}

// The runs whose controllers are dead, as the keys of an object. Owned by the caller.
static json_t *dead_runs(const struct spot *spot, const json_t *intents, struct error *err)
{
	autojson json_t *found = json_array();
	if (list_spot(found, spot, NULL, intents, err))
		return NULL;
	json_t *runs = json_object(), *item;
	size_t i;
	json_array_foreach (found, i, item)
		if (!json_is_true(json_object_get(item, "live")))
			json_object_set_new(runs, json_text_or(item, "run", ""), json_true());
	return runs;
}

static int remove_label(const struct spot *spot, const char *label, bool force, struct error *err)
{
	if (agent_parts_is_set(label))
		return agent_parts_remove_unused(spot->server, label, err);
	return remove_run(spot, label, force, err);
}

static int remove_at(const struct spot *spot, const struct cluster *c, const json_t *intents, struct error *err)
{
	if (c->label)
		return remove_label(spot, c->label, c->force, err);
	autojson json_t *runs = dead_runs(spot, intents, err);
	const char *run;
	json_t *value;
	int rc = runs ? 0 : -1;
	json_object_foreach (runs, run, value)
		rc |= remove_label(spot, run, c->force, rc ? NULL : err);
	return rc;
}

static bool answers(const struct spots *s, const char *label)
{
	autojson json_t *pods = s->count ? list_objects(&s->list[0], "pods", label, NULL) : NULL;
	return pods;
}

// The spot that an intent has named. It goes with what it was about, or when nobody can look any more and the user
// gives that up.
static int remove_intent(const struct cluster *c, const json_t *intent, struct error *err)
{
	const char *label = json_text_or(intent, "label", "");
	struct spots s = {0};
	int rc = add_intent(&s, intent, err) || remove_label(&s.list[0], label, c->force, err) ? -1 : 0;
	if (rc && c->give_up && !answers(&s, label))
		rc = 0;
	spots_free(&s);
	if (!rc)
		intent_log_remove(own_log, label);
	return rc;
}

static int remove_intents(const struct cluster *c, const json_t *intents, struct error *err)
{
	int rc = 0;
	size_t i;
	json_t *intent;
	json_array_foreach (intents, i, intent)
		if (c->label || !is_intent_live(intent))
			rc |= remove_intent(c, intent, rc ? NULL : err);
	return rc;
}

int run_objects_remove(const struct cluster *c, struct error *err)
{
	autojson json_t *intents = intent_log_find(own_log, c->label);
	struct spots s = {0};
	int rc = remove_intents(c, intents, err);
	bool known = c->label && json_array_size(intents) > 0; // it is nowhere else
	if (!known && add_plan(&s, c->plan, rc ? NULL : err))
		rc = -1;
	size_t named = s.count;
	if (!known)
		add_current(&s);
	for (size_t i = 0; i < s.count; i++) {
		struct error why = {0};
		if (remove_at(&s.list[i], c, intents, &why) && i < named && !rc) {
			rc = -1;
			if (err)
				*err = why;
		}
	}
	spots_free(&s);
	return rc;
}
