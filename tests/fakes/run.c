#include "fakes/run.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/node_events.h"
#include "job/job.h"
#include "job/plan_make.h"
#include "wire/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct fake_run *current; // for the executor's members, which have no data of their own

static int up(struct cluster *c, struct error *err)
{
	current->called = "up";
	return 0;
}

static int down(struct cluster *c, struct error *err)
{
	current->called = "down";
	return 0;
}

static int left(struct cluster *c, json_t *found, struct error *err)
{
	current->called = "left";
	json_array_extend(found, current->left);
	return 0;
}

static int accept(const json_t *plan, struct error *err)
{
	return 0;
}

static const struct executor executor = {&executor_traits_local, accept, executor_loopback, up, down, left};

const char *fake_run_work(struct fake_run *w, const char *why)
{
	fake_work(why);
	return w->called;
}

static json_t *make_plan(const char *more)
{
	struct error err = {0};
	autofree char *text = mem_printf("name: t\ncluster: {nodes: 2}\nrun:\n  command: 'true'\n%s", more);
	struct job *job = job_parse(text, strlen(text), "t.yaml", NULL, 0, &err);
	assert_non_null(job);
	json_t *plan = plan_make(job, NULL, "/", &err);
	job_free(job);
	assert_non_null(plan);
	return plan;
}

void fake_run_start(struct fake_run *w, const char *more, bool preflight_only)
{
	struct error err = {0};
	w->plan = make_plan(more);
	w->left = json_array();
	struct run *run = run_create(w->top, "t", NULL, 0, w->plan, &err);
	assert_non_null(run);
	w->options = (struct controller_options){
		.run = run, .plan = w->plan, .executor = &executor, .preflight_only = preflight_only, .leash = -1};
	w->c = (struct lifecycle){.options = &w->options, .plan = w->plan, .run = run, .started = clock_mono()};
	lifecycle_init(&w->c);
	w->c.nonce = "nonce";
	lifecycle_start_timers(&w->c);
	lifecycle_dispatch(&w->c, HAPPENS_GO, NULL);
}

int fake_run_set_up(void **state)
{
	struct fake_run *w = mem_alloc(sizeof *w);
	strcpy(w->top, "controller-test-XXXXXX");
	assert_non_null(mkdtemp(w->top));
	fake_reset();
	*state = current = w;
	return 0;
}

int fake_run_tear_down(void **state)
{
	struct fake_run *w = *state;
	lifecycle_stop_timers(&w->c);
	lifecycle_fini(&w->c);
	run_free(w->options.run);
	json_decref(w->plan);
	json_decref(w->left);
	assert_int_equal(fs_remove(w->top, NULL), 0);
	free(w);
	return 0;
}

// --- what the nodes say -----------------------------------------------------------------

void fake_run_hello(struct fake_run *w, size_t node)
{
	autojson json_t *said = mem_json("{s:s, s:s, s:i, s:s, s:{s:i}, s:i}", "name", "n", "address", "127.0.0.2",
		"port", 1, "machine", "m", "facts", "cores", 2, "attempt", (int)w->c.attempt);
	bool again = w->c.membership.nodes[node].hello;
	fake.connected[node] = true;
	node_events_ops.on_hello(node, said, again, &w->c);
}

void fake_run_event(struct fake_run *w, size_t node, json_t *event)
{
	autojson json_t *mine = event;
	json_object_set_new(mine, "node", json_integer((json_int_t)node));
	autofree char *line = event_print(mine);
	node_events_ops.on_event(node, mine, line, strlen(line) - 1, &w->c);
}

void fake_run_rank_starts(struct fake_run *w, size_t rank)
{
	fake_run_event(w, rank, event_make("start", "s:i, s:i", "rank", (int)rank, "attempt", (int)w->c.attempt));
}

void fake_run_rank_exits(struct fake_run *w, size_t rank, int status, int attempt)
{
	fake_run_event(w, rank,
		event_make("exit", "s:i, s:i, s:n, s:n, s:i", "rank", (int)rank, "status", status, "signal", "why",
			"attempt", attempt));
}

void fake_run_leaves(struct fake_run *w, size_t node)
{
	node_events_ops.on_complete(node, &w->c);
	fake.connected[node] = false;
	node_events_ops.on_away(node, clock_mono(), "closed", &w->c);
}

static void both(struct fake_run *w, void (*does)(struct fake_run *w, size_t node))
{
	does(w, 0);
	does(w, 1);
}

void fake_run_bring_up(struct fake_run *w)
{
	both(w, fake_run_hello);
	assert_string_equal(fake_run_work(w, NULL), "up");
	assert_int_equal(w->c.state, STATE_RUNNING);
}

// Both nodes leave, the executor removes them, and the run is over.
void fake_run_wind_up(struct fake_run *w)
{
	both(w, fake_run_leaves);
	while (fake.working)
		fake_run_work(w, NULL);
	assert_string_equal(w->called, "left");
	assert_int_equal(w->c.state, STATE_DONE);
	assert_true(fake.stopped);
}

void fake_run_away(struct fake_run *w, size_t node, double seconds)
{
	fake.connected[node] = false;
	node_events_ops.on_away(node, clock_mono() - seconds, "silent", &w->c);
}

// How many lines of events.jsonl hold this text.
size_t fake_run_count_logged(const struct fake_run *w, const char *text)
{
	autofree char *path = run_path(w->options.run, "events.jsonl");
	autofree char *log = fs_read(path, 1 << 20, NULL, NULL);
	size_t count = 0;
	for (const char *at = log; at && (at = strstr(at, text)); at++)
		count++;
	return count;
}
