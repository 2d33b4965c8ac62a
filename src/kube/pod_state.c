#include "kube/pod_state.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define AGENT_PROGRAM "muster-agent" // in the image that brings it
enum { TEXT_MAX = 600, USUAL_TRIES = 4 };

// --- words ----------------------------------------------------------------------

static bool has(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; text && i < count; i++)
		if (strcasestr(text, words[i]))
			return true;
	return false;
}

#define HAS(text, ...) has(text, (const char *const[]){__VA_ARGS__}, countof(((const char *const[]){__VA_ARGS__})))

// One line of bounded length, whatever they wrote.
static char *clean(const char *text)
{
	struct str out = {0};
	bool blank = false;
	for (const char *at = text; *at; at++) {
		unsigned char c = (unsigned char)*at;
		if (c <= ' ' || c == 0x7f) {
			blank = out.len > 0;
			continue;
		}
		str_printf(&out, "%s%c", blank ? " " : "", c);
		blank = false;
	}
	if (out.len > TEXT_MAX) {
		out.len = str_utf8_valid(out.text, TEXT_MAX);
		out.text[out.len] = 0;
		str_puts(&out, "...");
	}
	return str_steal(&out);
}

static char *say(const char *what, const char *text)
{
	autofree char *all = text && *text ? mem_printf("%s: %s", what, text) : mem_strdup(what);
	return clean(all);
}

// --- images ---------------------------------------------------------------------

// As containerd, Docker and CRI-O say it.
static bool is_other_platform(const char *message)
{
	return HAS(message, "no match for platform", "no matching manifest", "no image found in");
}

// Another try a minute later may do: a registry that is busy or out of reach. One that knows the image not, or us, will
// not think again.
static bool is_image_missing(const char *message)
{
	if (HAS(message, "toomanyrequests", "too many requests", "rate limit"))
		return false;
	return is_other_platform(message) ||
	       HAS(message, "not found", "manifest unknown", "does not exist", "access denied",
		       "access to the resource is denied", "unauthorized", "authentication required", "no basic auth",
		       "insufficient_scope", "403 forbidden");
}

// Of "words "NAME": rest" the rest, and the name; NULL when the text does not begin so.
static const char *skip_named(const char *text, const char *words, const char **name, size_t *len)
{
	if (!str_starts(text, words))
		return NULL;
	const char *begin = text + strlen(words), *end = strchr(begin, '"');
	if (!end)
		return NULL;
	*name = begin;
	*len = (size_t)(end - begin);
	return end[1] == ':' ? end + 2 + strspn(end + 2, " ") : end + 1;
}

static const char *skip_wrap(const char *text, const char **name, size_t *len)
{
	static const char *const named[] = {"Failed to pull image \"", "Back-off pulling image \"",
		"failed to pull and unpack image \"", "failed to resolve reference \"", "failed to resolve image \""};
	static const char *const words[] = {"ErrImagePull: ", "failed to do request: "};
	static const char rpc[] = "rpc error: code = ", desc[] = " desc = ";
	for (size_t i = 0; i < countof(named); i++) {
		const char *rest = skip_named(text, named[i], name, len);
		if (rest)
			return rest;
	}
	for (size_t i = 0; i < countof(words); i++)
		if (str_starts(text, words[i]))
			return text + strlen(words[i]);
	const char *at = str_starts(text, rpc) ? strstr(text, desc) : NULL;
	return at ? at + strlen(desc) : NULL;
}

// "read udp 10.0.0.1:33664->10.0.0.2:53: " goes: it is another port, and so another text, at each try.
static char *drop_ports(const char *text)
{
	const char *at = strstr(text, "read udp "), *arrow = NULL, *end = NULL;
	at = at ? at : strstr(text, "read tcp ");
	if (at)
		arrow = strstr(at, "->");
	if (arrow)
		end = strstr(arrow, ": ");
	return end ? mem_printf("%.*s%s", (int)(at - text), text, end + 2) : mem_strdup(text);
}

// The name of the image and what went wrong last, which the kubelet and its runtime wrap, each in its own way and
// another one at each try. NULL: it only says that it will try again.
static char *unwrap_image(const char *message)
{
	const char *name = "", *at = message;
	size_t len = 0;
	for (const char *rest; (rest = skip_wrap(at, &name, &len));)
		at = rest;
	if (!*at)
		return NULL;
	autofree char *last = drop_ports(at);
	return len ? mem_printf("%.*s: %s", (int)len, name, last) : steal(last);
}

// NULL when the message tells nothing.
static char *say_image(const char *message)
{
	autofree char *text = message ? unwrap_image(message) : NULL;
	if (message && !text)
		return NULL;
	if (is_other_platform(message))
		return say("the image is not there for the architecture of its machine", text);
	if (HAS(message, "toomanyrequests", "too many requests", "rate limit"))
		return say("the registry refuses the image for now", text);
	return say("the image cannot be pulled", text);
}

// --- a container ----------------------------------------------------------------

static const struct waiting {
	const char *reason;
	const char *text;
	bool never;
} waiting_rows[] = {
	{"ErrImageNeverPull", "the image is not on its machine and may not be pulled", true},
	{"InvalidImageName", "the image has no valid name", true},
	{"SignatureValidationFailed", "the signature of the image is not valid", true},
	{"CreateContainerConfigError", "its container cannot be made", true},
	{"CreateContainerError", "its container cannot be made", true},
	{"RunContainerError", "its container cannot be started", true},
	{"ContainerCreating", NULL, false},
	{"PodInitializing", NULL, false},
};

// What a kubelet itself takes back a moment later, as when its container runtime is being restarted.
static bool is_passing(const char *message)
{
	return HAS(message, "failed to sync", "context deadline exceeded", "is reserved for", "DeadlineExceeded",
		"code = Unavailable", "connection refused", "transport is closing");
}

static void read_waiting(struct pod_state *s, const json_t *waiting)
{
	const char *reason = json_text_or(waiting, "reason", ""), *message = json_text(waiting, "message");
	if (HAS(reason, "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError")) {
		s->why = say_image(message);
		s->kind = s->why && is_image_missing(message) ? POD_STATE_NEVER : POD_STATE_WAITS;
		return;
	}
	for (size_t i = 0; i < countof(waiting_rows); i++) {
		const struct waiting *row = &waiting_rows[i];
		if (strcmp(row->reason, reason) != 0)
			continue;
		s->kind = row->never && !is_passing(message) ? POD_STATE_NEVER : POD_STATE_WAITS;
		s->why = row->text ? say(row->text, message) : NULL;
		if (HAS(message, "runAsNonRoot")) {
			free(s->why);
			s->why = say("the namespace wants containers that do not run as root, and this image does: use "
				     "one with a USER, or 'cluster.kubernetes.pod: {spec: {securityContext: "
				     "{runAsUser: 1000}}}'",
				message);
		}
		return;
	}
	s->why = *reason ? say(reason, message) : NULL;
}

static char *say_start_error(const char *message, bool init)
{
	if (HAS(message, "exec format error"))
		return say("the agent or the image is for another architecture than its machine", message);
	if (init && HAS(message, AGENT_PROGRAM))
		return say("the image of 'cluster.kubernetes.agent_image' has no agent of muster in it", message);
	if (HAS(message, "no such file or directory", "not found in $PATH", "not found in PATH"))
		return say("the command of its container is not there", message);
	return say("its container could not be started", message);
}

static bool is_start_error(const json_t *terminated)
{
	return HAS(json_text(terminated, "reason"), "StartError", "ContainerCannotRun");
}

static char *say_terminated(const json_t *terminated)
{
	const char *reason = json_text_or(terminated, "reason", ""), *message = json_text(terminated, "message");
	json_int_t code = json_int(terminated, "exitCode");
	if (HAS(message, "exec format error")) // containerd has started it by then
		return say_start_error(message, false);
	if (strcmp(reason, "OOMKilled") == 0)
		return say("its container ran out of memory and was killed (OOMKilled)", NULL);
	autofree char *text = mem_printf("its container has ended with status %lld%s", (long long)code,
		code == 137   ? " (killed)"
		: code == 143 ? " (told to end)"
			      : "");
	return say(text, message);
}

// --- a pod ----------------------------------------------------------------------

static const json_t *find_condition(const json_t *pod, const char *type)
{
	size_t i;
	const json_t *condition;
	json_array_foreach (json_object_get(json_object_get(pod, "status"), "conditions"), i, condition)
		if (json_is(condition, "type", type))
			return condition;
	return NULL;
}

static const json_t *find_named(const json_t *containers, const char *name)
{
	size_t i;
	const json_t *container;
	json_array_foreach (containers, i, container)
		if (json_is(container, "name", name))
			return container;
	return NULL;
}

// An init container that stays beside the others is started again when it ends.
static bool is_sidecar(const json_t *pod, const json_t *status)
{
	const json_t *list = json_object_get(json_object_get(pod, "spec"), "initContainers");
	return json_is(find_named(list, json_text_or(status, "name", "")), "restartPolicy", "Always");
}

// The container that is the node; before it has started, an init container that has not ended well.
static const json_t *find_state(const json_t *pod, bool *init)
{
	const json_t *status = json_object_get(pod, "status"), *container;
	const json_t *node = find_named(json_object_get(status, "containerStatuses"), POD_STATE_CONTAINER);
	const json_t *state = json_object_get(node, "state");
	size_t i;
	*init = false;
	if (json_has(state, "running") || json_has(state, "terminated"))
		return state;
	json_array_foreach (json_object_get(status, "initContainerStatuses"), i, container) {
		const json_t *first = json_object_get(container, "state"),
			     *ended = json_object_get(first, "terminated");
		bool passed = ended && (json_int(ended, "exitCode") == 0 || is_sidecar(pod, container));
		*init = !passed && !json_has(first, "running");
		if (*init)
			return first;
	}
	return state;
}

static const struct disruption {
	const char *reason, *text;
} disruptions[] = {
	{"PreemptionByScheduler", "its pod was preempted"},
	{"PreemptionByKubeScheduler", "its pod was preempted"},
	{"DeletionByTaintManager", "its machine is out of reach or was tainted"},
	{"EvictionByEvictionAPI", "its pod was evicted, as when its machine is drained"},
	{"DeletionByPodGC", "its machine is gone"},
	{"TerminationByKubelet", "its machine ended its pod"},
};

// Who wants the pod away, where that is written down.
static char *say_disruption(const json_t *pod)
{
	const json_t *condition = find_condition(pod, "DisruptionTarget");
	if (!json_is(condition, "status", "True"))
		return NULL;
	const char *reason = json_text_or(condition, "reason", ""), *message = json_text(condition, "message");
	for (size_t i = 0; i < countof(disruptions); i++)
		if (strcmp(disruptions[i].reason, reason) == 0)
			return say(disruptions[i].text, message);
	return say("its pod was disrupted", message ? message : reason);
}

static const struct pod_reason {
	const char *reason, *text;
} pod_reasons[] = {
	{"Evicted", "its pod was evicted"},
	{"DeadlineExceeded", "its pod ran longer than it may"},
	{"NodeShutdown", "its machine is being shut down"},
	{"Terminated", "its machine is being shut down"},
	{"Shutdown", "its machine is being shut down"},
	{"NodeLost", "its machine is out of reach"},
	{"Preempting", "its pod was preempted"},
	{"NodeAffinity", "its machine does not fit any more"},
	{"UnexpectedAdmissionError", "its machine refuses its pod"},
};

static char *say_pod_reason(const json_t *status)
{
	const char *reason = json_text(status, "reason"), *message = json_text(status, "message");
	if (!reason || !*reason)
		return NULL;
	for (size_t i = 0; i < countof(pod_reasons); i++)
		if (strcmp(pod_reasons[i].reason, reason) == 0)
			return say(pod_reasons[i].text, message);
	autofree char *text = mem_printf("its machine refuses its pod (%s)", reason); // OutOfcpu, OutOfmemory, ...
	return say(text, message);
}

static void end(struct pod_state *s, const json_t *pod, const json_t *terminated)
{
	s->kind = POD_STATE_ENDED;
	s->why = terminated && json_is(terminated, "reason", "OOMKilled") ? say_terminated(terminated) : NULL;
	if (!s->why)
		s->why = say_pod_reason(json_object_get(pod, "status"));
	if (!s->why)
		s->why = say_disruption(pod);
	if (!s->why && json_has(json_object_get(pod, "metadata"), "deletionTimestamp"))
		s->why = say("somebody deleted its pod", NULL);
	if (!s->why)
		s->why = terminated ? say_terminated(terminated) : say("its pod has ended", NULL);
}

static void read_running(struct pod_state *s, const json_t *pod)
{
	const json_t *ready = find_condition(pod, "Ready");
	const char *machine = json_text_or(json_object_get(pod, "spec"), "nodeName", "");
	s->kind = POD_STATE_RUNS;
	s->leaves = json_has(json_object_get(pod, "metadata"), "deletionTimestamp");
	// There is no probe: only whoever misses the machine says that without a reason.
	s->away = json_is(ready, "status", "False") && !*json_text_or(ready, "reason", "");
	if (s->away) {
		autofree char *text = mem_printf("its machine %s is not ready", machine);
		s->why = say(text, NULL);
		return;
	}
	s->why = say_disruption(pod);
	if (!s->why && s->leaves)
		s->why = say("somebody deletes its pod", NULL);
}

// --- a place for it ---------------------------------------------------------------

// The number before these words, as in "2 node(s) didn't match ..."; 0 where they are not.
static long count_before(const char *text, const char *words)
{
	const char *at = strstr(text, words);
	while (at && at > text && at[-1] == ' ')
		at--;
	while (at && at > text && at[-1] >= '0' && at[-1] <= '9')
		at--;
	return at ? strtol(at, NULL, 10) : 0;
}

// "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. ...": labels do not come by waiting,
// nor does a taint of what a machine is for. Other taints may: what starts a machine, or what a machine has to wait
// for, takes them away.
static bool is_selector_hopeless(const char *message)
{
	static const char selector[] = "node(s) didn't match Pod's node affinity/selector",
			  taint[] = "node(s) had untolerated taint";
	const char *all = message ? strstr(message, "0/") : NULL;
	if (!all || !strstr(message, selector))
		return false;
	long nodes = strtol(all + 2, NULL, 10), apart = count_before(message, selector);
	for (const char *at = message; (at = strstr(at, taint)); at += strlen(taint)) {
		const char *named = strchr(at, '{');
		bool stays = named && str_starts(named, "{node-role.kubernetes.io/");
		const char *number = at;
		while (number > message && (number[-1] == ' ' || (number[-1] >= '0' && number[-1] <= '9')))
			number--;
		apart += stays ? strtol(number, NULL, 10) : 0;
	}
	return nodes > 0 && apart >= nodes;
}

// The kubelet names its own volume; whoever wrote the job file knows what is missing.
static char *say_missing(const char *message, const char *words, const char *what)
{
	const char *at = strstr(message, words), *name = at ? at + strlen(words) : NULL,
		   *end = name ? strstr(name, "\" not found") : NULL;
	if (!end || memchr(name, '"', (size_t)(end - name)))
		return NULL;
	autofree char *text = mem_printf("there is no %s '%.*s' in its namespace", what, (int)(end - name), name);
	return say(text, NULL);
}

static char *say_unschedulable(const char *message, bool hopeless)
{
	char *missing = message ? say_missing(message, "persistentvolumeclaim \"", "PersistentVolumeClaim") : NULL;
	if (missing)
		return missing;
	return say(hopeless ? "no machine has what the node selector asks for" : "no machine has room for its pod",
		message);
}

// No scheduler has looked at it. The one that is always there does so at once.
static void read_unseen(struct pod_state *s, const json_t *spec)
{
	const char *scheduler = json_text_or(spec, "schedulerName", "");
	if (*json_text_or(spec, "nodeName", "") || !*scheduler || strcmp(scheduler, "default-scheduler") == 0)
		return;
	autofree char *text = mem_printf("its pod waits for the scheduler '%s', which has not looked at it", scheduler);
	s->why = say(text, NULL);
}

static void read_pending(struct pod_state *s, const json_t *pod)
{
	const json_t *scheduled = find_condition(pod, "PodScheduled"), *spec = json_object_get(pod, "spec");
	if (!scheduled)
		read_unseen(s, spec);
	if (!json_is(scheduled, "status", "False"))
		return;
	const char *message = json_text(scheduled, "message");
	if (json_is(scheduled, "reason", "SchedulingGated")) {
		s->why = say("its pod waits to be let in", message);
		return;
	}
	s->homeless = is_selector_hopeless(message);
	s->kind = s->homeless ? POD_STATE_NEVER : POD_STATE_WAITS;
	s->why = json_flag(spec, "hostNetwork") && HAS(message, "didn't match pod anti-affinity rules")
			 ? say("no machine is left for its pod: with 'host_network' each takes one pod of a run",
				   message)
			 : say_unschedulable(message, s->homeless);
}

struct pod_state pod_state_read(const json_t *pod)
{
	struct pod_state s = {.kind = POD_STATE_WAITS};
	const json_t *status = json_object_get(pod, "status");
	bool init, over = json_is(status, "phase", "Failed") || json_is(status, "phase", "Succeeded");
	const json_t *state = find_state(pod, &init), *ended = json_object_get(state, "terminated");
	if (ended && is_start_error(ended)) {
		s.kind = POD_STATE_NEVER;
		s.why = say_start_error(json_text(ended, "message"), init);
	} else if (over || ended)
		end(&s, pod, ended);
	else if (!init && json_object_get(state, "running"))
		read_running(&s, pod);
	else if (json_has(json_object_get(pod, "metadata"), "deletionTimestamp"))
		end(&s, pod, NULL); // it has not run, and will not
	else if (json_object_get(state, "waiting"))
		read_waiting(&s, json_object_get(state, "waiting"));
	else
		read_pending(&s, pod);
	return s;
}

void pod_state_fini(struct pod_state *s)
{
	free(s->why);
	*s = (struct pod_state){0};
}

// --- events -----------------------------------------------------------------------

// Whether it is hopeless the pod itself tells, which is up to date.
static enum pod_news_kind on_unschedulable(const char *message, char **text)
{
	*text = say_unschedulable(message, is_selector_hopeless(message));
	return POD_NEWS_WAITS;
}

// Refused for now: the quota has just been made and is not counted yet, the namespace is so new that it lacks its
// service account, or who decides could not be asked. It is tried again.
static bool is_too_early(const char *message)
{
	return HAS(
		message, "failed calling webhook", "status unknown for quota", "serviceaccount \"default\" not found");
}

// The Job is there, and its pods are refused.
static enum pod_news_kind on_failed_create(const char *message, char **text)
{
	static const char word[] = "Error creating: ";
	const char *why = message && str_starts(message, word) ? message + strlen(word) : message;
	bool refused = HAS(why, "is forbidden", "denied the request", "exceeded quota", "violates PodSecurity",
		"is invalid", "not found");
	// Where the namespace warned of that, it was set.
	const char *what = HAS(why, "exceeded quota") ? "the quota of the namespace is too small"
			   : HAS(why, "runAsNonRoot != true")
				   ? "the namespace refuses its pod, expected 'cluster.kubernetes.pod: {spec: "
				     "{securityContext: {runAsNonRoot: true}}}'"
			   : HAS(why, "violates PodSecurity") ? "the namespace refuses its pod"
			   : HAS(why, "denied the request")   ? "a webhook refuses its pod"
							      : "its pod cannot be made";
	*text = say(what, why);
	return refused && !is_too_early(why) ? POD_NEWS_NEVER : POD_NEWS_WAITS;
}

static enum pod_news_kind on_failed(const char *message, char **text)
{
	if (!message || !str_starts(message, "Failed to pull image"))
		return POD_NEWS_FAILED;
	*text = say_image(message);
	return *text && is_image_missing(message) ? POD_NEWS_NEVER : POD_NEWS_FAILED;
}

static enum pod_news_kind on_waits(const char *message, char **text)
{
	*text = message ? clean(message) : NULL;
	return POD_NEWS_WAITS;
}

static enum pod_news_kind on_suspended(const char *message, char **text)
{
	*text = say("its Job is suspended, and has to be started by a queue of the cluster", NULL);
	return POD_NEWS_HELD;
}

// By Kueue.
static enum pod_news_kind on_taken(const char *message, char **text)
{
	return POD_NEWS_TAKEN;
}

static enum pod_news_kind on_mount(const char *message, char **text)
{
	if (message)
		*text = say_missing(message, "configmap \"", "ConfigMap");
	if (message && !*text)
		*text = say_missing(message, "secret \"", "Secret");
	return *text ? POD_NEWS_WAITS : on_waits(message, text);
}

static enum pod_news_kind on_pulling(const char *message, char **text)
{
	*text = message ? clean(message) : NULL;
	return POD_NEWS_PULLS;
}

static enum pod_news_kind on_pulled(const char *message, char **text)
{
	return POD_NEWS_PULLED;
}

static enum pod_news_kind on_grows(const char *message, char **text)
{
	*text = say("the cluster gets another machine", message);
	return POD_NEWS_GROWS;
}

static enum pod_news_kind on_bad_image(const char *message, char **text)
{
	*text = say("the image has no valid name", message);
	return POD_NEWS_NEVER;
}

static enum pod_news_kind on_evicted(const char *message, char **text)
{
	*text = say("its pod was evicted", message);
	return POD_NEWS_ENDS;
}

static enum pod_news_kind on_ends(const char *message, char **text)
{
	if (message && str_starts(message, "Cancelling")) // the taint has gone in time
		return POD_NEWS_NONE;
	*text = message ? clean(message) : NULL;
	return POD_NEWS_ENDS;
}

static const struct news_row {
	const char *about, *reason;
	enum pod_news_kind (*read)(const char *message, char **text);
} news_rows[] = {
	{"Pod", "FailedScheduling", on_unschedulable}, {"Pod", "Pulling", on_pulling}, {"Pod", "Pulled", on_pulled},
	{"Pod", "Failed", on_failed}, {"Pod", "InspectFailed", on_bad_image}, {"Pod", "TriggeredScaleUp", on_grows},
	{"Pod", "Nominated", on_grows}, {"Pod", "NotTriggerScaleUp", on_waits}, {"Pod", "FailedMount", on_mount},
	{"Pod", "FailedAttachVolume", on_waits}, {"Pod", "FailedCreatePodSandBox", on_waits},
	{"Pod", "NetworkNotReady", on_waits}, {"Pod", "TaintManagerEviction", on_ends}, {"Pod", "Evicted", on_evicted},
	{"Pod", "Preempted", on_ends}, {"Job", "FailedCreate", on_failed_create}, {"Job", "Suspended", on_suspended},
	{"Job", "CreatedWorkload", on_taken}, {"Job", "DeadlineExceeded", on_ends},
	{"Job", "BackoffLimitExceeded", on_ends}, {"Job", "Stopped", on_ends}, // by a queue
};

// As often as not a machine has not heard of a ConfigMap when it first looks.
static bool is_usual(const json_t *event)
{
	return json_is(event, "reason", "FailedMount") && HAS(json_text(event, "message"), "failed to sync") &&
	       json_int(event, "count") < USUAL_TRIES;
}

struct pod_news pod_state_news(const json_t *event)
{
	const json_t *object = json_object_get(event, "involvedObject");
	struct pod_news news = {.about = json_text_or(object, "kind", ""), .name = json_text_or(object, "name", "")};
	for (size_t i = 0; i < countof(news_rows) && !is_usual(event); i++)
		if (strcmp(news_rows[i].about, news.about) == 0 && json_is(event, "reason", news_rows[i].reason)) {
			news.kind = news_rows[i].read(json_text(event, "message"), &news.text);
			break;
		}
	return news;
}
