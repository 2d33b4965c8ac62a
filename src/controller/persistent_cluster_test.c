#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/persistent_cluster.h"
#include "fakes/controller.h"
#include "job/job.h"
#include "job/plan_make.h"
#include "wire/event.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

// A cluster of two nodes that are up; what it asks of its run is recorded.
struct world {
	char top[32];
	json_t *plan, *events;
	struct run *run;
	struct membership membership;
	struct persistent_cluster *k;
	struct server *server;
	bool up, busy;
	size_t happened[HAPPENS_GONE + 1], byes, nodes;
};

static void on_record(json_t *event, void *data)
{
	json_array_append_new(((struct world *)data)->events, event);
}

static void on_dispatch(enum happening happening, void *data)
{
	((struct world *)data)->happened[happening]++;
}

static bool is_up(void *data)
{
	return ((struct world *)data)->up;
}

static bool is_busy(void *data)
{
	return ((struct world *)data)->busy;
}

static void on_bye(size_t node, void *data)
{
	((struct world *)data)->byes++;
}

static void on_resize(const json_t *plan, size_t nodes, void *data)
{
	struct world *w = data;
	membership_resize(&w->membership, nodes);
	w->nodes = nodes;
}

static const struct persistent_cluster_ops ops = {on_record, on_dispatch, is_up, is_busy, on_bye, on_resize};

static struct persistent_cluster *make(struct world *w, struct error *err)
{
	struct persistent_cluster_options options = {
		.run = w->run, .plan = w->plan, .membership = &w->membership, .ops = &ops, .data = w};
	return persistent_cluster_new(&options, err);
}

static struct server *serve(struct world *w)
{
	struct error err = {0};
	struct server_options options = {.run = w->run, .plan = w->plan, .secret = "secret"};
	return persistent_cluster_serve(w->k, NULL, options, &err);
}

static int set_up(void **state)
{
	static const char text[] = "name: lab\ncluster: {nodes: 2}\n";
	struct world *w = mem_alloc(sizeof *w);
	struct error err = {0};
	fake_reset();
	strcpy(w->top, "cluster-test-XXXXXX");
	assert_non_null(mkdtemp(w->top));
	struct job *job = job_parse_cluster(text, strlen(text), "lab.yaml", NULL, 0, &err);
	assert_non_null(job);
	w->plan = plan_make_cluster(job, NULL, "/", &err);
	job_free(job);
	assert_non_null(w->plan);
	w->events = json_array();
	w->run = run_create(w->top, "lab", NULL, 0, w->plan, &err);
	membership_init(&w->membership, w->plan);
	w->k = make(w, &err);
	assert_non_null(w->k);
	w->server = serve(w);
	persistent_cluster_start(w->k, NULL);
	w->up = fake.connected[0] = fake.connected[1] = true;
	membership_set_hello(&w->membership, 0, true);
	membership_set_hello(&w->membership, 1, true);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	persistent_cluster_stop(w->k);
	server_free(w->server);
	persistent_cluster_free(w->k);
	membership_fini(&w->membership);
	run_free(w->run);
	json_decref(w->plan);
	json_decref(w->events);
	assert_int_equal(fs_remove(w->top, NULL), 0);
	free(w);
	return 0;
}

static void ask_job(struct world *w, size_t client, const char *run, int nodes, bool share)
{
	autojson json_t *msg = mem_json(
		"{s:s, s:s, s:s, s:i, s:b}", "msg", "job", "run", run, "run_dir", "/r", "nodes", nodes, "share", share);
	persistent_cluster_request(w->k, fake_client(client), msg);
}

static void ask_resize(struct world *w, size_t client, int nodes)
{
	autojson json_t *msg = mem_json("{s:s, s:i}", "msg", "resize", "nodes", nodes);
	persistent_cluster_request(w->k, fake_client(client), msg);
}

static const char *error_to(size_t client)
{
	return json_string_value(json_object_get(fake_last_to_client(client), "error"));
}

static void check_refused(size_t client, const char *why)
{
	assert_non_null(error_to(client));
	assert_non_null(strstr(error_to(client), why));
}

static void check_granted(size_t client)
{
	assert_non_null(fake_last_to_client(client));
	assert_null(error_to(client));
}

static size_t count_events(const struct world *w, const char *type)
{
	size_t count = 0, i;
	const json_t *event;
	json_array_foreach (w->events, i, event)
		count += event_is(event, type);
	return count;
}

static void test_jobs_one_after_the_other(void **state)
{
	struct world *w = *state;
	ask_job(w, 1, "a", 2, false);
	check_granted(1);
	assert_int_equal(json_array_size(json_object_get(fake_last_to_client(1), "nodes")), 2);
	ask_job(w, 2, "b", 1, false);
	check_refused(2, "run a");
	ask_job(w, 3, "c", 1, true);
	check_granted(3);
	ask_job(w, 3, "c", 1, true); // it is done
	ask_job(w, 1, "a", 2, false);
	assert_int_equal(count_events(w, "job"), 4);
	ask_job(w, 2, "b", 1, false);
	check_granted(2);
}

static void test_jobs_that_cannot_be(void **state)
{
	struct world *w = *state;
	ask_job(w, 1, "a", 3, false);
	check_refused(1, "2");
	ask_job(w, 1, "a", 0, false);
	check_refused(1, "0");
	fake.connected[1] = false;
	ask_job(w, 1, "a", 2, false);
	check_refused(1, "node 1");
	w->up = false;
	ask_job(w, 1, "a", 1, false);
	check_refused(1, "not up");
	autojson json_t *msg = mem_json("{s:s}", "msg", "nonsense");
	persistent_cluster_request(w->k, fake_client(1), msg);
	check_refused(1, "request");
}

// Two jobs whose controllers were killed: each node answers for each of them, and only its own answer counts.
static void test_killed_jobs_are_cleaned_up(void **state)
{
	struct world *w = *state;
	ask_job(w, 1, "a", 2, false);
	ask_job(w, 2, "b", 2, true);
	persistent_cluster_client_gone(w->k, fake_client(1)); // errands 1 and 2
	persistent_cluster_client_gone(w->k, fake_client(2)); // errands 3 and 4
	assert_int_equal(fake.errands, 4);
	persistent_cluster_node_cleaned(w->k, 0, 1, true);
	persistent_cluster_node_cleaned(w->k, 0, 3, true);
	assert_int_equal(count_events(w, "job"), 2); // node 1 has not answered for either
	persistent_cluster_node_cleaned(w->k, 1, 4, true);
	assert_int_equal(count_events(w, "job"), 3);
	ask_job(w, 3, "c", 1, false);
	check_refused(3, "run a");
	persistent_cluster_node_lost(w->k, 1);
	assert_int_equal(count_events(w, "job"), 4);
	assert_int_equal(count_events(w, "warn"), 1);
}

static void test_node_away_is_asked_when_it_is_back(void **state)
{
	struct world *w = *state;
	ask_job(w, 1, "a", 2, false);
	fake.connected[1] = false;
	w->membership.nodes[1].away = true;
	persistent_cluster_client_gone(w->k, fake_client(1));
	persistent_cluster_node_cleaned(w->k, 0, 1, true);
	assert_int_equal(count_events(w, "job"), 1);
	fake.connected[1] = true;
	persistent_cluster_node_back(w->k, 1);
	assert_int_equal(fake.errands, 2);
	persistent_cluster_node_cleaned(w->k, 1, 2, true);
	assert_int_equal(count_events(w, "job"), 2);
}

static void test_grows(void **state)
{
	struct world *w = *state;
	ask_resize(w, 1, 4);
	assert_int_equal(w->nodes, 4);
	assert_int_equal(w->happened[HAPPENS_RESIZE], 1);
	assert_null(fake_last_to_client(1)); // answered when they are up
	ask_resize(w, 2, 3);
	check_refused(2, "changed");
	persistent_cluster_ready(w->k);
	check_granted(1);
	assert_int_equal(json_integer_value(json_object_get(fake_last_to_client(1), "nodes")), 4);
}

static void test_shrinks_when_the_last_have_left(void **state)
{
	struct world *w = *state;
	ask_resize(w, 1, 1);
	assert_int_equal(w->byes, 1);
	assert_int_equal(w->nodes, 0); // node 1 is still there
	fake.connected[1] = false;
	persistent_cluster_check(w->k);
	assert_int_equal(w->nodes, 1);
	persistent_cluster_failed(w->k, "no room");
	check_refused(1, "no room");
}

static void test_does_not_shrink_below_a_job(void **state)
{
	struct world *w = *state;
	ask_job(w, 1, "a", 2, false);
	ask_resize(w, 2, 1);
	check_refused(2, "run a");
	ask_resize(w, 2, -1);
	check_refused(2, "-1");
	assert_int_equal(w->byes, 0);
}

static void test_goes_down_after_its_jobs(void **state)
{
	struct world *w = *state;
	ask_job(w, 1, "a", 2, false);
	persistent_cluster_drain(w->k);
	assert_int_equal(w->happened[HAPPENS_DRAINED], 0);
	ask_job(w, 2, "b", 1, true);
	check_refused(2, "not up");
	ask_job(w, 1, "a", 2, false); // done
	assert_int_equal(w->happened[HAPPENS_DRAINED], 1);
}

// A controller that takes over is the same one to the nodes, and there is never a second one.
static void test_identity(void **state)
{
	struct world *w = *state;
	struct error err = {0};
	assert_false(persistent_cluster_resumes(w->k));
	assert_null(make(w, &err));
	assert_non_null(strstr(err.text, "controller"));
	autofree char *path = run_path(w->run, "identity.json");
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	persistent_cluster_stop(w->k);
	persistent_cluster_free(w->k);
	w->k = make(w, &err);
	assert_non_null(w->k);
	assert_true(persistent_cluster_resumes(w->k));
	assert_string_equal(persistent_cluster_secret(w->k), "secret");
	persistent_cluster_start(w->k, NULL);
}

static void *let_go(void *data)
{
	poll(NULL, 0, 50); // the other one has begun to wait; if not, it finds the lock free, which is as well
	persistent_cluster_free(data);
	return NULL;
}

static void test_killed_controller_lets_go_late(void **state)
{
	struct world *w = *state;
	struct error err = {0};
	pthread_t thread;
	persistent_cluster_stop(w->k);
	assert_int_equal(pthread_create(&thread, NULL, let_go, w->k), 0);
	w->k = make(w, &err);
	pthread_join(thread, NULL);
	assert_non_null(w->k);
	persistent_cluster_start(w->k, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_jobs_one_after_the_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_jobs_that_cannot_be, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_killed_jobs_are_cleaned_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_node_away_is_asked_when_it_is_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_grows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_shrinks_when_the_last_have_left, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_does_not_shrink_below_a_job, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_goes_down_after_its_jobs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_identity, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_killed_controller_lets_go_late, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("persistent_cluster", tests, NULL, NULL);
}
