// The watches are the test: it tells of pods and events as they would.
#include "base/mem.h"
#include "base/str.h"
#include "exec/run_pods.h"
#include "kube/watch.h"

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct watch_options watches[2]; // of events, of pods

struct watch *watch_start(const struct watch_options *options, const atomic_bool *cancelled, struct error *err)
{
	size_t which = options->news_only ? 0 : 1;
	watches[which] = *options;
	assert_non_null(strstr(options->path, which ? "/pods?labelSelector=muster.run%3Dr1" : "/events"));
	return (struct watch *)&watches[which];
}

void watch_stop(struct watch *w)
{
}

struct world {
	struct run_pods *pods;
	sem_t told;
	char *end; // what was told last: "JOB NODE WHY", with a * when it leaves
};

static void on_end(const char *job, size_t node, const char *why, bool leaves, void *data)
{
	struct world *w = data;
	free(w->end);
	w->end = mem_printf("%s%s %zu: %s", leaves ? "*" : "", job, node, why);
	sem_post(&w->told);
}

static int set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);
	sem_init(&w->told, 0, 0);
	w->pods = run_pods_start(NULL, "r1", on_end, w, NULL, NULL);
	*state = w;
	return w->pods ? 0 : -1;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	run_pods_stop(w->pods);
	sem_destroy(&w->told);
	free(w->end);
	free(w);
	return 0;
}

const char *api_server_namespace(const struct api_server *s)
{
	return "lab";
}

// Pod K of the Job muster-j, which has the nodes 3 and 5; status as JSON.
static void pod(int k, enum watch_change change, const char *meta, const char *status)
{
	autofree char *text = mem_printf(
		"{\"metadata\":{%s\"name\":\"muster-j-%d-x\",\"uid\":\"%d\",\"labels\":{\"batch.kubernetes.io/"
		"job-name\":"
		"\"muster-j\"},\"annotations\":{\"muster.nodes\":\"3,5\",\"batch.kubernetes.io/job-completion-index\":"
		"\"%d\"}},\"spec\":{\"nodeName\":\"m\"},\"status\":{%s}}",
		meta, k, k, k, status);
	autojson json_t *object = json_loads(text, 0, NULL);
	assert_non_null(object);
	watches[1].ops->on_object(change, object, watches[1].data);
}

#define RUNNING "\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"node\",\"state\":{\"running\":{}}}]"
#define OOM                                                                                                            \
	"\"phase\":\"Failed\",\"containerStatuses\":[{\"name\":\"node\",\"state\":{\"terminated\":{\"exitCode\":137,"  \
	"\"reason\":\"OOMKilled\"}}}]"
#define LEAVING "\"deletionTimestamp\":\"2026-11-28T06:06:12Z\","

static void event(const char *kind, const char *name, const char *reason, const char *message)
{
	autojson json_t *object = mem_json("{s:{s:s, s:s}, s:s, s:s}", "involvedObject", "kind", kind, "name", name,
		"reason", reason, "message", message);
	watches[0].ops->on_object(WATCH_SEEN, object, watches[0].data);
}

static void check(struct world *w, size_t node, enum pod_state_kind kind, bool pulls, const char *why)
{
	struct run_pod found = run_pods_find(w->pods, "muster-j", node);
	assert_int_equal(found.kind, kind);
	assert_int_equal(found.pulls, pulls);
	if (why)
		assert_non_null(strstr(found.why ? found.why : "", why));
	else
		assert_null(found.why);
	run_pods_fini_pod(&found);
}

static void check_told(struct world *w, const char *end)
{
	struct timespec at;
	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_sec += 20;
	assert_int_equal(sem_timedwait(&w->told, &at), 0);
	assert_string_equal(w->end, end);
}

static void from_nothing_to_running(void **state)
{
	struct world *w = *state;
	struct run_pod none = run_pods_find(w->pods, "muster-j", 3);
	assert_false(none.there);
	run_pods_fini_pod(&none);
	pod(1, WATCH_SEEN, "", "\"phase\":\"Pending\"");
	check(w, 5, POD_STATE_WAITS, false, NULL);
	event("Pod", "muster-j-1-x", "Pulling", "Pulling image \"debian:12\"");
	check(w, 5, POD_STATE_WAITS, true, "debian:12");
	event("Pod", "muster-j-1-x", "Pulled", "Successfully pulled");
	check(w, 5, POD_STATE_WAITS, false, "debian:12");
	pod(1, WATCH_SEEN, "", RUNNING);
	check(w, 5, POD_STATE_RUNS, false, NULL);
}

static void only_the_first_pull_has_time(void **state)
{
	struct world *w = *state;
	pod(0, WATCH_SEEN, "", "\"phase\":\"Pending\"");
	event("Pod", "muster-j-0-x", "Pulling", "Pulling image \"x\"");
	event("Pod", "muster-j-0-x", "Failed", "Failed to pull image \"x\": i/o timeout");
	check(w, 3, POD_STATE_WAITS, false, "i/o timeout");
	event("Pod", "muster-j-0-x", "Pulling", "Pulling image \"x\"");
	check(w, 3, POD_STATE_WAITS, false, "Pulling");
	event("Pod", "muster-j-0-x", "Failed", "Failed to pull image \"x\": not found");
	check(w, 3, POD_STATE_NEVER, false, "not found");
}

static void a_job_whose_pods_are_refused(void **state)
{
	struct world *w = *state;
	event("Job", "other-j", "FailedCreate", "Error creating: exceeded quota: none of ours");
	check(w, 3, POD_STATE_WAITS, false, NULL);
	event("Job", "muster-j", "FailedCreate", "Error creating: exceeded quota: small");
	check(w, 3, POD_STATE_NEVER, false, "exceeded quota: small");
}

static void check_queue(struct world *w, bool held, bool taken)
{
	struct run_pod found = run_pods_find(w->pods, "muster-j", 3);
	assert_int_equal(found.held, held);
	assert_int_equal(found.taken, taken);
	run_pods_fini_pod(&found);
}

static void a_job_in_a_queue(void **state)
{
	struct world *w = *state;
	check_queue(w, true, false);
	event("Job", "muster-j", "Suspended", "Job suspended");
	check_queue(w, true, false);
	event("Job", "muster-j", "CreatedWorkload", "Created Workload: lab/job-muster-j");
	check_queue(w, true, true);
	check(w, 3, POD_STATE_WAITS, false, "suspended");
	event("Job", "muster-j", "FailedCreate", "Error creating: status unknown for quota: new");
	check_queue(w, false, true);
	pod(0, WATCH_SEEN, "", "\"phase\":\"Pending\"");
	check_queue(w, false, true);
}

static void ends_are_told_once(void **state)
{
	struct world *w = *state;
	pod(0, WATCH_SEEN, "", RUNNING);
	pod(1, WATCH_SEEN, "", RUNNING);
	pod(0, WATCH_SEEN, "", OOM);
	check_told(w, "muster-j 3: its container ran out of memory and was killed (OOMKilled)");
	pod(0, WATCH_GONE, "", OOM);
	pod(1, WATCH_GONE, "", RUNNING);
	check_told(w, "muster-j 5: somebody deleted its pod");
	run_pods_wake(w->pods);
	assert_int_equal(sem_trywait(&w->told), -1);
}

static void one_that_leaves_is_told_before_it_ends(void **state)
{
	struct world *w = *state;
	pod(0, WATCH_SEEN, "", RUNNING);
	pod(0, WATCH_SEEN, LEAVING, RUNNING);
	check_told(w, "*muster-j 3: somebody deletes its pod");
	pod(0, WATCH_SEEN, LEAVING, OOM);
	check_told(w, "muster-j 3: its container ran out of memory and was killed (OOMKilled)");
}

// The cluster may say why a moment later; what it says counts.
static void an_agent_that_is_missed(void **state)
{
	struct world *w = *state;
	pod(0, WATCH_SEEN, "", RUNNING);
	run_pods_expect_end(w->pods, "muster-j", 3, "its agent was killed");
	pod(0, WATCH_SEEN, "", OOM);
	check_told(w, "muster-j 3: its container ran out of memory and was killed (OOMKilled)");
}

static void no_right_to_look(void **state)
{
	struct world *w = *state;
	struct error said = {.code = ERROR_SYSTEM, .text = "pods is forbidden"}, err = {0};
	watches[1].ops->on_trouble(500, &said, watches[1].data);
	assert_false(run_pods_is_refused(w->pods, &err));
	watches[1].ops->on_trouble(403, &said, watches[1].data);
	assert_true(run_pods_is_refused(w->pods, &err));
	assert_string_equal(err.text, "pods is forbidden");
	pod(0, WATCH_SEEN, "", RUNNING);
	assert_false(run_pods_is_refused(w->pods, &err));
}

static void count(const char *job, size_t node, const struct run_pod *found, void *data)
{
	*(size_t *)data += found->kind == POD_STATE_RUNS ? node : 0;
}

static void those_that_run_are_found(void **state)
{
	struct world *w = *state;
	size_t nodes = 0;
	pod(0, WATCH_SEEN, "", OOM);
	pod(1, WATCH_SEEN, "", RUNNING);
	run_pods_each(w->pods, count, &nodes);
	assert_int_equal(nodes, 5);
}

#define each(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(from_nothing_to_running),
		each(only_the_first_pull_has_time),
		each(a_job_whose_pods_are_refused),
		each(a_job_in_a_queue),
		each(ends_are_told_once),
		each(one_that_leaves_is_told_before_it_ends),
		each(an_agent_that_is_missed),
		each(no_right_to_look),
		each(those_that_run_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
