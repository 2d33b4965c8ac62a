#include "exec/run_pods.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "base/url.h"
#include "kube/manifest.h"
#include "kube/watch.h"

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NAMES "muster-" // what those of all our Jobs and pods begin with
#define JOB_NAME "batch.kubernetes.io/job-name"
static const double verdict = 4;   // seconds until a kubelet has told what happened to a container
static const double patience = 10; // seconds for a machine and its tunnel to be heard again
static const double scale_up = 12; // seconds until an autoscaler has said that it gets a machine: it looks every 10

struct pod {
	char *job, *name; // name NULL: it is only known from its Job
	size_t node;
	struct pod_state state;
	char *news; // what events say of a pod that does not run
	char *ends; // and of one that runs, and is being ended by its machine, which changes the pod only afterwards
	bool never; // they say that it will not
	bool pulls, grows, cut, told, told_leaves;
	double homeless; // since when no machine has what it asks for; 0: one has
	bool failed;     // to get its image: the next try has no more time than all has
	double missing;  // since when its machine and its tunnel are; 0: they are not
	double expected; // when to say that it has ended; 0: not
	char *guess;     // what to say then
};

struct run_pods {
	run_pods_on_end on_end;
	void *data;
	struct watch *pods, *events;
	struct pod **list;
	size_t count;
	json_t *by_name, *by_node; // index in the list
	json_t *jobs;              // by name: {"why", "never", "held", "taken"}, what events say of it
	struct error refused;
	size_t changes, seen;
	bool stopping;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

// --- the table --------------------------------------------------------------------

static void note_change(struct run_pods *p)
{
	p->changes++;
	pthread_cond_broadcast(&p->changed);
}

static struct pod *at(const struct run_pods *p, const json_t *index)
{
	return json_is_integer(index) ? p->list[json_integer_value(index)] : NULL;
}

static struct pod *find(const struct run_pods *p, const char *job, size_t node)
{
	autofree char *key = mem_printf("%s %zu", job, node);
	return at(p, json_object_get(p->by_node, key));
}

static struct pod *add(struct run_pods *p, const char *job, size_t node, const char *name)
{
	struct pod *pod = mem_alloc(sizeof *pod);
	*pod = (struct pod){.job = mem_strdup(job), .name = mem_strdup(name), .node = node};
	p->list = mem_resize(p->list, (p->count + 1) * sizeof(struct pod *));
	p->list[p->count] = pod;
	autofree char *key = mem_printf("%s %zu", job, node);
	json_object_set_new(p->by_node, key, json_integer((json_int_t)p->count));
	json_object_set_new(p->by_name, name, json_integer((json_int_t)p->count));
	p->count++;
	return pod;
}

// After an API server was away machines count as missing until they have been heard, and tunnels are cut.
static void note_missing(struct pod *pod)
{
	bool missing = pod->cut && pod->state.away;
	pod->missing = !missing ? 0 : pod->missing > 0 ? pod->missing : clock_mono();
}

// --- what the watches tell ----------------------------------------------------------

static enum pod_state_kind kind_of(const struct pod *pod)
{
	bool hopes = pod->homeless > 0 && (pod->grows || clock_mono() < pod->homeless + scale_up);
	return hopes ? POD_STATE_WAITS : pod->state.kind;
}

static void set_state(struct pod *pod, struct pod_state state)
{
	pod_state_fini(&pod->state);
	pod->state = state;
	note_missing(pod);
	pod->homeless = !state.homeless ? 0 : pod->homeless > 0 ? pod->homeless : clock_mono();
	if (kind_of(pod) == POD_STATE_WAITS)
		return;
	free(steal(pod->news));
	pod->pulls = pod->grows = pod->never = false;
}

// One that is not there any more may have been seen in a good state last.
static struct pod_state gone(struct pod_state last, const struct pod *pod)
{
	if (last.kind == POD_STATE_ENDED || last.kind == POD_STATE_NEVER)
		return last;
	const char *why = last.why ? last.why : pod && pod->state.why ? pod->state.why : NULL;
	struct pod_state state = {.kind = POD_STATE_ENDED,
		.why = why ? mem_printf("its pod was deleted: %s", why) : mem_strdup("somebody deleted its pod")};
	pod_state_fini(&last);
	return state;
}

static void on_pod(enum watch_change change, const json_t *object, void *data)
{
	struct run_pods *p = data;
	const json_t *meta = json_object_get(object, "metadata");
	const char *job = json_text(json_object_get(meta, "labels"), JOB_NAME), *name = json_text(meta, "name");
	long node = manifest_node(object);
	if (!job || !name || node < 0)
		return;
	pthread_mutex_lock(&p->lock);
	struct pod *pod = at(p, json_object_get(p->by_name, name));
	if (!pod)
		pod = add(p, job, (size_t)node, name);
	struct pod_state state = pod_state_read(object);
	set_state(pod, change == WATCH_GONE ? gone(state, pod) : state);
	p->refused = (struct error){0};
	note_change(p);
	pthread_mutex_unlock(&p->lock);
}

static void on_trouble(int status, const struct error *err, void *data)
{
	struct run_pods *p = data;
	if (status != 401 && status != 403)
		return; // it is tried again
	pthread_mutex_lock(&p->lock);
	p->refused = *err;
	note_change(p);
	pthread_mutex_unlock(&p->lock);
}

static void hear_of_pod(struct pod *pod, struct pod_news *news)
{
	if (kind_of(pod) == POD_STATE_RUNS && news->kind == POD_NEWS_ENDS && news->text) {
		free(pod->ends);
		pod->ends = steal(news->text);
	}
	if (kind_of(pod) != POD_STATE_WAITS)
		return;
	pod->failed = pod->failed || news->kind == POD_NEWS_FAILED;
	pod->pulls = !pod->failed && (news->kind == POD_NEWS_PULLS || (pod->pulls && news->kind != POD_NEWS_PULLED));
	pod->grows = pod->grows || news->kind == POD_NEWS_GROWS;
	pod->never = pod->never || news->kind == POD_NEWS_NEVER;
	if (!news->text)
		return;
	free(pod->news);
	pod->news = steal(news->text);
}

static void hear_of_job(struct run_pods *p, const struct pod_news *news)
{
	json_t *known = json_object_get(p->jobs, news->name);
	bool taken = news->kind == POD_NEWS_TAKEN || json_flag(known, "taken");
	if (news->text) {
		known = mem_json("{s:s, s:b, s:b}", "why", news->text, "never", news->kind == POD_NEWS_NEVER, "held",
			news->kind == POD_NEWS_HELD);
		json_object_set_new(p->jobs, news->name, known);
	} else if (taken && !known) {
		known = mem_json("{s:b}", "held", 1);
		json_object_set_new(p->jobs, news->name, known);
	}
	if (taken)
		json_object_set_new(known, "taken", json_true());
}

static void on_event(enum watch_change change, const json_t *object, void *data)
{
	struct run_pods *p = data;
	struct pod_news news = pod_state_news(object);
	if (change == WATCH_SEEN && news.kind != POD_NEWS_NONE && str_starts(news.name, NAMES)) {
		pthread_mutex_lock(&p->lock);
		struct pod *pod = at(p, json_object_get(p->by_name, news.name));
		if (pod)
			hear_of_pod(pod, &news);
		else if (strcmp(news.about, "Job") == 0)
			hear_of_job(p, &news);
		note_change(p);
		pthread_mutex_unlock(&p->lock);
	}
	free(news.text);
}

// --- ends -----------------------------------------------------------------------------

// Why it has to be told that this pod has ended; NULL when it has not, or was told.
static const char *end_of(const struct pod *pod, double now)
{
	if (pod->told)
		return NULL;
	if (kind_of(pod) == POD_STATE_ENDED || kind_of(pod) == POD_STATE_NEVER)
		return pod->state.why;
	if (pod->missing > 0 && now >= pod->missing + patience)
		return pod->state.why;
	return pod->expected > 0 && now >= pod->expected ? pod->guess : NULL;
}

static bool is_leaving(const struct pod *pod)
{
	return pod->state.kind == POD_STATE_RUNS && (pod->state.leaves || pod->ends) && !pod->told && !pod->told_leaves;
}

static void tell(struct run_pods *p, const struct pod *pod, const char *why, bool leaves)
{
	autofree char *text = mem_strdup(why);
	pthread_mutex_unlock(&p->lock);
	p->on_end(pod->job, pod->node, text, leaves, p->data);
	pthread_mutex_lock(&p->lock);
}

static void tell_ends(struct run_pods *p)
{
	for (size_t i = 0; i < p->count && !p->stopping; i++) {
		struct pod *pod = p->list[i];
		const char *why = end_of(pod, clock_mono());
		if (why) {
			pod->told = true;
			tell(p, pod, why, false);
		} else if (is_leaving(pod)) {
			pod->told_leaves = true;
			tell(p, pod, pod->ends ? pod->ends : pod->state.why, true);
		}
	}
}

static void *tell_main(void *data)
{
	struct run_pods *p = data;
	pthread_mutex_lock(&p->lock);
	while (!p->stopping) {
		double next = 3600;
		size_t before = p->changes;
		tell_ends(p);
		for (size_t i = 0; i < p->count; i++) {
			const struct pod *pod = p->list[i];
			double now = clock_mono();
			if (pod->expected > 0 && !pod->told)
				next = fmin(next, fmax(pod->expected - now, 0));
			if (pod->missing > 0 && !pod->told)
				next = fmin(next, fmax(pod->missing + patience - now, 0));
		}
		if (before == p->changes && !p->stopping)
			thread_cond_wait(&p->changed, &p->lock, next);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

// --- for the executor -----------------------------------------------------------------

static void dispose(struct run_pods *p)
{
	for (size_t i = 0; i < p->count; i++) {
		struct pod *pod = p->list[i];
		pod_state_fini(&pod->state);
		free(pod->job);
		free(pod->name);
		free(pod->news);
		free(pod->ends);
		free(pod->guess);
		free(pod);
	}
	free(p->list);
	json_decref(p->by_name);
	json_decref(p->by_node);
	json_decref(p->jobs);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void run_pods_stop(struct run_pods *p)
{
	if (!p)
		return;
	watch_stop(p->pods);
	watch_stop(p->events);
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	if (p->started)
		pthread_join(p->thread, NULL);
	dispose(p);
}

static struct run_pods *make(run_pods_on_end on_end, void *data)
{
	struct run_pods *p = mem_alloc(sizeof *p);
	*p = (struct run_pods){.on_end = on_end, .data = data};
	p->by_name = json_object();
	p->by_node = json_object();
	p->jobs = json_object();
	pthread_mutex_init(&p->lock, NULL);
	thread_cond_init(&p->changed);
	return p;
}

static int start_thread(struct run_pods *p, struct error *err)
{
	int rc = thread_start(&p->thread, NULL, tell_main, p);
	p->started = rc == 0;
	return rc ? error_set(err, ERROR_SYSTEM, "cannot start a thread: %s", strerror(rc)) : 0;
}

struct run_pods *run_pods_start(struct api_server *server, const char *label, run_pods_on_end on_end, void *data,
	const atomic_bool *cancelled, struct error *err)
{
	static const struct watch_ops pod_ops = {on_pod, on_trouble}, event_ops = {on_event, on_trouble};
	struct run_pods *p = make(on_end, data);
	autofree char *selector = mem_printf(MANIFEST_RUN "=%s", label), *quoted = url_quote(selector);
	const char *namespace = api_server_namespace(server);
	autofree char *pods = mem_printf("/api/v1/namespaces/%s/pods?labelSelector=%s", namespace, quoted);
	autofree char *events = mem_printf("/api/v1/namespaces/%s/events", namespace);
	struct watch_options of_pods = {.server = server, .path = pods, .ops = &pod_ops, .data = p};
	struct watch_options of_events = {
		.server = server, .path = events, .news_only = true, .ops = &event_ops, .data = p};
	p->events = watch_start(&of_events, cancelled, err);
	p->pods = p->events ? watch_start(&of_pods, cancelled, err) : NULL;
	if (p->pods && !start_thread(p, err))
		return p;
	run_pods_stop(p);
	return NULL;
}

static const char *why_of(const struct run_pods *p, const struct pod *pod, const char *job, bool *never)
{
	const json_t *news = json_object_get(p->jobs, job);
	*never = pod ? pod->never : json_flag(news, "never");
	if (!pod)
		return json_text(news, "why");
	return pod->news && kind_of(pod) == POD_STATE_WAITS && (pod->never || pod->grows || !pod->state.why)
		       ? pod->news
		       : pod->state.why;
}

static struct run_pod describe(const struct run_pods *p, const struct pod *pod, const char *job)
{
	bool never;
	const char *why = why_of(p, pod, job, &never);
	struct run_pod out = {.there = pod, .why = why ? mem_strdup(why) : NULL};
	if (pod) {
		out.kind = kind_of(pod);
		out.leaves = pod->state.leaves;
		out.pulls = pod->pulls;
		out.grows = pod->grows;
		out.name = mem_strdup(pod->name);
	}
	const json_t *news = json_object_get(p->jobs, job);
	out.held = !pod && (!why || json_flag(news, "held"));
	out.taken = json_flag(news, "taken");
	if (never && out.kind == POD_STATE_WAITS)
		out.kind = POD_STATE_NEVER;
	return out;
}

struct run_pod run_pods_find(struct run_pods *p, const char *job, size_t node)
{
	pthread_mutex_lock(&p->lock);
	struct run_pod out = describe(p, find(p, job, node), job);
	pthread_mutex_unlock(&p->lock);
	return out;
}

void run_pods_fini_pod(struct run_pod *pod)
{
	free(pod->name);
	free(pod->why);
	*pod = (struct run_pod){0};
}

void run_pods_each(struct run_pods *p,
	void (*each)(const char *job, size_t node, const struct run_pod *pod, void *data), void *data)
{
	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->count; i++) {
		const struct pod *pod = p->list[i];
		if (kind_of(pod) == POD_STATE_ENDED || kind_of(pod) == POD_STATE_NEVER)
			continue;
		struct run_pod out = describe(p, pod, pod->job);
		each(pod->job, pod->node, &out, data);
		run_pods_fini_pod(&out);
	}
	pthread_mutex_unlock(&p->lock);
}

void run_pods_set_cut(struct run_pods *p, const char *job, size_t node, bool cut)
{
	pthread_mutex_lock(&p->lock);
	struct pod *pod = find(p, job, node);
	if (pod && pod->cut != cut) {
		pod->cut = cut;
		note_missing(pod);
		note_change(p);
	}
	pthread_mutex_unlock(&p->lock);
}

void run_pods_expect_end(struct run_pods *p, const char *job, size_t node, const char *why)
{
	pthread_mutex_lock(&p->lock);
	struct pod *pod = find(p, job, node);
	if (pod && pod->expected == 0) {
		pod->expected = clock_mono() + verdict;
		pod->guess = mem_strdup(why);
		note_change(p);
	}
	pthread_mutex_unlock(&p->lock);
}

void run_pods_wake(struct run_pods *p)
{
	pthread_mutex_lock(&p->lock);
	note_change(p);
	pthread_mutex_unlock(&p->lock);
}

void run_pods_wait(struct run_pods *p, double seconds)
{
	pthread_mutex_lock(&p->lock);
	if (p->seen == p->changes)
		thread_cond_wait(&p->changed, &p->lock, seconds);
	p->seen = p->changes;
	pthread_mutex_unlock(&p->lock);
}

bool run_pods_is_refused(struct run_pods *p, struct error *err)
{
	pthread_mutex_lock(&p->lock);
	bool refused = *p->refused.text;
	if (refused && err)
		*err = p->refused;
	pthread_mutex_unlock(&p->lock);
	return refused;
}
