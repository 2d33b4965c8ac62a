#include "controller/controller.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/proc.h"
#include "controller/interrupt.h"
#include "controller/lifecycle.h"
#include "controller/node_events.h"
#include "controller/server.h"
#include "controller/token.h"
#include "job/plan.h"
#include "report/report.h"
#include "wire/event.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// said: what the signal event says; why: what the run's end says.
static void cancel(struct lifecycle *c, const char *signal, const char *said, const char *why)
{
	c->cancels++;
	c->cancelled = true;
	lifecycle_record(c, event_make("signal", "s:s?, s:s", "signal", signal, "why", said));
	if (c->state == STATE_READY)
		lifecycle_set_outcome(c, "ok", 0, NULL); // it was to go down one day
	lifecycle_set_outcome(c, "cancelled", ERROR_CANCELLED, why);
	bool at_once = interrupt_rule(c->cancels) == INTERRUPT_AT_ONCE;
	if (at_once && c->state == STATE_STOPPING && !c->down_wanted)
		lifecycle_override_outcome(c, "cancelled", ERROR_CANCELLED, "cancelled before all outputs had arrived");
	if (!c->stop_why)
		c->stop_why = "cancelled";
	lifecycle_dispatch(c, HAPPENS_CANCEL, "cancelled");
	if (at_once)
		lifecycle_dispatch(c, HAPPENS_HURRY, NULL);
}

static void on_signal(enum loop_event event, void *data)
{
	struct lifecycle *c = data;
	struct interrupt interrupt;
	while (interrupt_next(loop_watch_fd(c->signals), &interrupt))
		cancel(c, interrupt.signal, c->cancels ? "cancelled: at once" : "cancelled: stopping gently",
			interrupt.cluster_down ? "cancelled: its cluster is being taken down" : "cancelled");
}

static void on_leash(enum loop_event event, void *data)
{
	struct lifecycle *c = data;
	char word;
	bool free_to_go = read(loop_watch_fd(c->leash), &word, 1) == 1;
	if (event != LOOP_CLOSED)
		loop_unwatch(c->leash);
	c->leash = NULL;
	if (!free_to_go && c->cancels == 0)
		cancel(c, NULL, "cancelled: the process that watched it was killed", "cancelled");
}

static char *make_token(const struct cluster *cluster, size_t node)
{
	const struct lifecycle *c = cluster->token_data;
	char *token = mem_alloc(CRYPTO_HEX);
	token_for_node(c->secret, node, token);
	return token;
}

static int write_control(struct lifecycle *c, struct error *err)
{
	char token[CRYPTO_HEX];
	token_for_client(c->secret, token);
	autojson json_t *control = mem_json("{s:i, s:I, s:s, s:s, s:s}", "pid", (int)getpid(), "started",
		(json_int_t)proc_started(getpid()), "url", server_url(c->server), "fingerprint",
		server_fingerprint(c->server), "token", token);
	autofree char *text = json_dumps(control, JSON_INDENT(1));
	autofree char *path = run_path(c->run, "control.json");
	return fs_write(path, text, strlen(text), 0600, err);
}

static int watch_signals(struct lifecycle *c, struct error *err)
{
	int fd = interrupt_open(err);
	if (fd < 0)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	c->signals = loop_watch(c->loop, fd, on_signal, c);
	return 0;
}

static struct server *serve(struct lifecycle *c, struct error *err)
{
	autofree char *address = c->options->executor->address(c->plan, err);
	if (!address)
		return NULL;
	struct server_options options = {.run = c->run,
		.plan = c->plan,
		.address = address,
		.secret = c->secret,
		.ops = c->node_events,
		.data = c};
	return c->persistent ? persistent_cluster_serve(c->persistent, c->loop, options, err)
			     : server_new(c->loop, &options, err);
}

static void say(const struct cluster *cluster, json_t *event)
{
	const struct lifecycle *c = cluster->say_data;
	event_queue_put(c->event_queue, event);
}

static int init(struct lifecycle *c, struct error *err)
{
	lifecycle_init(c);
	c->node_events = &node_events_ops;
	if (c->options->persistent && lifecycle_make_persistent(c, err) < 0)
		return -1;
	const char *secret = c->persistent ? persistent_cluster_secret(c->persistent) : NULL;
	c->secret = secret ? mem_strdup(secret) : crypto_random_hex(32);
	c->nonce = crypto_random_hex(16);
	c->machine = proc_machine();
	c->loop = loop_new(0, err);
	if (!c->loop || watch_signals(c, err) < 0)
		return -1;
	if (c->options->leash >= 0)
		c->leash = loop_watch(c->loop, c->options->leash, on_leash, c);
	lifecycle_start_timers(c);
	if (c->persistent)
		persistent_cluster_start(c->persistent, c->loop);
	c->worker = worker_thread_new(c->loop, err);
	c->event_queue = c->worker ? event_queue_new(c->loop, lifecycle_on_executor_event, c, err) : NULL;
	c->server = c->event_queue ? serve(c, err) : NULL;
	if (!c->server)
		return -1;
	c->cluster = (struct cluster){.label = c->run->id,
		.plan = c->plan,
		.run_dir = c->run->dir,
		.url = server_url(c->server),
		.fingerprint = server_fingerprint(c->server),
		.token = make_token,
		.token_data = c,
		.cancelled = &c->cancelled,
		.say = say,
		.say_data = c};
	return write_control(c, err);
}

static void fini(struct lifecycle *c)
{
	if (c->server)
		server_stop(c->server);
	worker_thread_free(c->worker);
	event_queue_free(c->event_queue);
	loop_unwatch(c->signals); // else the end of the loop looks like the end of what they watch
	loop_unwatch(c->leash);
	if (c->loop) {
		lifecycle_stop_timers(c);
		if (c->persistent)
			persistent_cluster_stop(c->persistent);
		loop_free(c->loop);
	}
	server_free(c->server);
	persistent_cluster_free(c->persistent);
	lifecycle_fini(c);
	free(c->secret);
	free(c->nonce);
	free(c->machine);
}

// The last words: the end event, then the report, which reads it.
static void finish(struct lifecycle *c)
{
	lifecycle_record(c, event_make("end", "s:s, s:s?, s:i, s:f", "outcome", c->outcome, "why", c->why, "exit",
				    c->exit, "seconds", clock_mono() - c->started));
	struct error err = {0};
	report_write(c->run, &err);
	autofree char *control = run_path(c->run, "control.json");
	unlink(control);
}

static json_t *make_first_event(const struct lifecycle *c)
{
	return event_make("run", "s:s, s:s, s:s, s:i, s:i, s:s, s:s", "id", c->run->id, "name", plan_name(c->plan),
		"executor", c->options->executor->traits->name, "nodes", (int)plan_nodes(c->plan), "size",
		(int)plan_size(c->plan), "version", MUSTER_VERSION, "plan", "plan.json");
}

// A run that could not even begin has an end too: nobody is to think that its controller was killed. A persistent
// cluster can be brought up again.
static void record_failure(const struct lifecycle *c, const struct error *why)
{
	autojson json_t *first = make_first_event(c);
	autojson json_t *end = event_make("end", "s:s, s:s, s:i, s:f", "outcome", "failed", "why", why->text, "exit",
		ERROR_SYSTEM, "seconds", clock_mono() - c->started);
	if (!c->options->persistent && !run_event(c->run, first, NULL) && !run_event(c->run, end, NULL))
		report_write(c->run, NULL);
}

int controller_main(const struct controller_options *options, struct error *err)
{
	struct lifecycle c = {.options = options, .plan = options->plan, .run = options->run, .started = clock_mono()};
	if (init(&c, err) < 0) {
		record_failure(&c, err);
		fini(&c);
		return -1;
	}
	bool resume = c.persistent && persistent_cluster_resumes(c.persistent);
	lifecycle_record(&c, resume ? event_make("resume", "s:s", "version", MUSTER_VERSION) : make_first_event(&c));
	lifecycle_dispatch(&c, resume ? HAPPENS_RESUME : HAPPENS_GO, NULL);
	loop_run(c.loop);
	finish(&c);
	int status = c.exit;
	fini(&c);
	return status;
}
