#include "exec/pod_wait.h"

#include "base/clock.h"
#include "base/mem.h"
#include "job/plan.h"
#include "wire/event.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const double patience = 60; // seconds for pods, when the plan does not say
static const double growth = 900;  // seconds for another machine
static const double notice = 15;   // seconds for a queue to take notice of a Job
static const double quiet = 0.5;   // seconds of waiting that are not worth a word

static double deadline_of(const struct cluster *c)
{
	return plan_deadline(c->plan) > 0 ? plan_deadline(c->plan) : patience;
}

void pod_wait_say(struct pod_wait *w, const char *step)
{
	const struct cluster *c = w->nodes->cluster;
	if (!c->say || (w->last && strcmp(w->last, step) == 0))
		return;
	free(w->last);
	w->last = mem_strdup(step);
	w->told = true;
	c->say(c, event_make("pod", "s:I, s:I, s:s", "running", (json_int_t)w->running, "total", (json_int_t)w->total,
			  "step", step));
}

static void say_progress(struct pod_wait *w)
{
	double now = clock_mono();
	if (now < w->begun + quiet || now < w->said + 1 || w->running == w->total)
		return;
	w->said = now;
	autofree char *step = w->step ? mem_printf("node %zu: %s", w->first, w->step)
				      : mem_printf("waiting for the pod of node %zu", w->first);
	pod_wait_say(w, step);
}

void pod_wait_end(struct pod_wait *w, bool ok)
{
	const struct cluster *c = w->nodes->cluster;
	if (ok && w->told && c->say)
		c->say(c, event_make("pod", "s:I, s:I, s:f, s:b", "running", (json_int_t)w->total, "total",
				  (json_int_t)w->total, "seconds", clock_mono() - w->begun, "ok", 1));
	free(steal(w->step));
	free(steal(w->last));
}

static void prolong(struct pod_wait *w, double seconds)
{
	double end = clock_mono() + seconds;
	w->deadline = end > w->deadline ? end : w->deadline;
}

// What a pod waits for that is not there, because its Job waits in a queue. That ends when there is room, and no
// sooner.
static char *say_queue(const struct pod_wait *w, const char *queue, bool taken)
{
	const char *namespace = api_server_namespace(w->nodes->server);
	autofree char *text = mem_printf("its Job waits, without a limit, for Kueue to start it (queue '%s')", queue);
	if (taken || clock_mono() < w->begun + notice)
		return steal(text);
	return mem_printf("%s; nothing has taken notice of it yet: is Kueue installed, and is there a LocalQueue '%s' "
			  "in the namespace '%s'?",
		text, queue, namespace);
}

static void note_step(struct pod_wait *w, size_t node, const struct run_pod *pod)
{
	const char *queue = pod_nodes_setting(w->nodes->cluster->plan, "queue");
	w->first = node;
	free(w->step);
	w->step = queue && pod->held ? say_queue(w, queue, pod->taken) : pod->why ? mem_strdup(pod->why) : NULL;
}

// Opens the tunnels of those that run by now. -1: there is one that never will.
static int look_at_pod(struct pod_wait *w, size_t node, struct error *err)
{
	struct pod_nodes *k = w->nodes;
	struct run_pod pod = run_pods_find(k->pods, k->places[node]->job, node);
	int rc = 0;
	bool ended = pod_nodes_has_stopped(&pod);
	if (ended && !pod_nodes_was_seen(k, node))
		rc = error_set(err, ERROR_SYSTEM, "node %zu: %s", node, pod.why ? pod.why : "its pod has ended");
	else if (pod.kind == POD_STATE_RUNS || ended) {
		w->running++;
		pod_nodes_open(k, node);
	} else if (w->first == SIZE_MAX || (!w->step && pod.why))
		note_step(w, node, &pod);
	if (pod.pulls)
		prolong(w, deadline_of(k->cluster));
	if (!pod.there && pod_nodes_setting(k->cluster->plan, "queue"))
		prolong(w, deadline_of(k->cluster));
	if (pod.grows)
		prolong(w, growth - (clock_mono() - w->begun));
	run_pods_fini_pod(&pod);
	return rc;
}

static int look_at_pods(struct pod_wait *w, struct error *err)
{
	struct pod_nodes *k = w->nodes;
	w->running = 0;
	w->total = k->count;
	w->first = SIZE_MAX;
	free(steal(w->step));
	for (size_t i = 0; i < k->count; i++)
		if (look_at_pod(w, i, err))
			return -1;
	return run_pods_is_refused(k->pods, err) ? -1 : 0;
}

// 0: all agents have been there, 1: not yet.
static int look_at_agents(struct pod_wait *w, struct error *err)
{
	struct pod_nodes *k = w->nodes;
	int rc = 0;
	w->agent = SIZE_MAX;
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; rc >= 0 && i < k->count; i++) {
		const struct pod_nodes_place *p = k->places[i];
		if (p->seen)
			continue;
		w->agent = w->agent == SIZE_MAX ? i : w->agent;
		rc = p->gone ? error_set(err, ERROR_SYSTEM, "node %zu: %s", i, p->words) : 1;
	}
	pthread_mutex_unlock(&k->lock);
	return rc;
}

static int over(const struct pod_wait *w, struct error *err)
{
	double seconds = clock_mono() - w->begun;
	if (w->running < w->total)
		return error_set(err, ERROR_SYSTEM, "%zu of %zu pods did not run within %.0f s; node %zu: %s",
			w->total - w->running, w->total, seconds, w->first,
			w->step ? w->step : "its pod has not been started");
	struct pod_nodes *k = w->nodes;
	pthread_mutex_lock(&k->lock);
	const char *words = k->places[w->agent]->words;
	error_set(err, ERROR_SYSTEM, "node %zu: no agent in time%s%s", w->agent, words ? ": " : "", words ? words : "");
	pthread_mutex_unlock(&k->lock);
	return -1;
}

int pod_wait_for_nodes(struct pod_wait *w, struct error *err)
{
	const struct cluster *c = w->nodes->cluster;
	w->deadline = clock_mono() + deadline_of(c);
	for (;;) {
		int rc = look_at_pods(w, err) ? -1 : look_at_agents(w, err);
		if (rc <= 0)
			return rc;
		if (c->cancelled && *c->cancelled)
			return error_set(err, ERROR_CANCELLED, "cancelled while the pods were started");
		say_progress(w);
		if (clock_mono() > w->deadline)
			return over(w, err);
		run_pods_wait(w->nodes->pods, 0.1);
	}
}
