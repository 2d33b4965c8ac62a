#include "agent/setup.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "helper/setup_step.h"
#include "job/plan.h"
#include "node/mounts.h"
#include "node/stage.h"
#include "wire/event.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LAST_LINES = 3 };          // of a step that fails
static const double patience = 5; // seconds for processes of root's to end

struct setup {
	void (*on_done)(struct node *node);
	size_t step;
	struct rank *command;        // the step that runs
	struct setup_step_head head; // what its process says of itself; only of one that has one
	bool apart;                  // done by a process of its own
	char *skipped;
	struct output_parser *lines;
	double start;
	struct loop_timer *timeout;
	int *held; // a line to each process that holds what root left running
	size_t nheld;
};

static void next_step(struct node *node);

static bool stopped(const struct node *node)
{
	return !node->prepare || node->failed;
}

static struct plan_step step_now(const struct node *node)
{
	return plan_step(node->plan, node->setup->step);
}

static void on_fence(struct node *node, const json_t *all, void *data)
{
	if (!stopped(node)) {
		node->setup->step++;
		next_step(node);
	}
}

static void wait_for_others(struct node *node)
{
	autofree char *name = mem_printf("setup-%zu", node->setup->step);
	node_fence(node, name, json_null(), on_fence, NULL);
}

// --- the end of a step ----------------------------------------------------------

static void fail_step(struct node *node, const char *how)
{
	autofree char *why = mem_printf("setup step %zu ('%s') on node %zu (%s) %s", node->setup->step + 1,
		step_now(node).name, node->id, node_host_name(node), how);
	node_fail(node, -1, why);
}

static void say_step(struct node *node, int status, json_t *last)
{
	struct setup *s = node->setup;
	node_event(node,
		event_make("setup", "s:i, s:s, s:i, s:f, s:s*, s:o", "step", (int)s->step, "name", step_now(node).name,
			"status", status, "seconds", clock_mono() - s->start, "skipped", s->skipped, "last", last));
}

static void step_done(struct node *node)
{
	if (step_now(node).once)
		wait_for_others(node);
	else {
		node->setup->step++;
		next_step(node);
	}
}

// begun: its process said so; if not, sudo has not let it.
static void fail_ended(struct node *node, bool begun, int status, int sig)
{
	autojson json_t *last = output_parser_last(node->setup->lines, 0);
	size_t lines = json_array_size(last);
	autostr struct str words = {0};
	for (size_t i = lines > LAST_LINES ? lines - LAST_LINES : 0; i < lines; i++)
		str_printf(&words, "%s%s", words.len ? " | " : "", json_string_value(json_array_get(last, i)));
	autofree char *end =
		sig ? mem_printf("was killed by signal %d", sig) : mem_printf("ended with status %d", status);
	struct plan_step step = step_now(node);
	autofree char *how =
		mem_printf("%s%s: %s", begun || !setup_step_needs_root(&step) ? "" : "needs root, and sudo ", end,
			words.len ? words.text : "it printed nothing");
	fail_step(node, how);
}

// Keeps the line to a process that stays because something of its step does.
static void drop_line_if_over(struct setup *s)
{
	struct pollfd line = {.fd = s->nheld ? s->held[s->nheld - 1] : -1};
	if (s->apart && poll(&line, 1, 0) > 0)
		close(s->held[--s->nheld]);
}

static void take_output(struct node *node, const void *bytes, size_t len);

static void on_exit_of(int status, int sig, void *data)
{
	struct node *node = data;
	struct setup *s = node->setup;
	bool begun = !s->apart || s->head.begun;
	loop_timer_cancel(s->timeout);
	if (s->apart) {
		if (!s->head.begun)
			take_output(node, s->head.text.text, s->head.text.len);
		s->skipped = steal(s->head.skipped);
	}
	setup_step_head_fini(&s->head);
	output_parser_end(s->lines, 0);
	drop_line_if_over(s);
	say_step(node, status >= 0 ? status : 128 + sig, output_parser_last(s->lines, 0));
	free(steal(s->skipped));
	rank_free(steal(s->command));
	if (stopped(node))
		return;
	if (status != 0 || !begun)
		fail_ended(node, begun, status, sig);
	else
		step_done(node);
}

static void on_timeout(void *data)
{
	struct node *node = data;
	struct setup *s = node->setup;
	fail_step(node, "took longer than its timeout");
	if (s->command && s->apart)
		shutdown(s->held[s->nheld - 1], SHUT_WR); // only that reaches root's processes
	if (s->command)
		rank_signal(s->command, SIGKILL);
}

// --- a step ---------------------------------------------------------------------

// The whole output of all steps is kept as a file of the node; the event has the end of it.
static void take_output(struct node *node, const void *bytes, size_t len)
{
	autofree char *path = fs_join(node->dir, "setup.log");
	autoclose int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0)
		fs_write_fd(fd, bytes, len, NULL);
	output_parser_output(node->setup->lines, 0, bytes, len);
}

static bool on_output(const void *bytes, size_t len, void *data)
{
	struct node *node = data;
	struct setup *s = node->setup;
	size_t head = s->apart ? setup_step_head_take(&s->head, bytes, len) : 0;
	if (len > head)
		take_output(node, (const char *)bytes + head, len - head);
	return true;
}

static void drop_event(size_t local, json_t *event, void *data)
{
	json_decref(event);
}

static bool is_apart(struct plan_step step)
{
	return setup_step_needs_root(&step) || step.is_image;
}

// A line to the process that is to be started: its end is the word to end, and the only one that reaches what root
// runs.
static int open_line(struct setup *s, struct error *err)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_errno(err, "cannot make a socket pair");
	s->held = mem_resize(s->held, (s->nheld + 1) * sizeof *s->held);
	s->held[s->nheld++] = ends[0];
	return ends[1];
}

// The step, in a file: its environment may hold what others must not see, and sudo hands on nothing but standard input,
// which is the line.
static char *save_step(struct node *node, const json_t *step, struct error *err)
{
	autofree char *path = fs_join(node->dir, "step.json");
	autofree char *text = json_dumps(step, JSON_COMPACT);
	return fs_write(path, text, strlen(text), 0600, err) < 0 ? NULL : steal(path);
}

// What does the step in this process's place.
static json_t *apart_argv(struct node *node, const json_t *step, struct error *err)
{
	autofree char *path = save_step(node, step, err), *program = proc_program();
	return path ? mem_json("[s, s, s]", program, "step", path) : NULL;
}

// What the image is built from came as an input, unless this node sees the directory itself. Args are no texts with
// placeholders.
static void add_container(const struct node *node, json_t *step)
{
	json_t *container = json_deep_copy(plan_container_json(node->plan));
	for (size_t i = 0; i < plan_inputs(node->plan) && !node->same_files; i++) {
		struct plan_input input = plan_input(node->plan, i);
		autofree char *context = input.context ? fs_join(node->data_dir, input.path) : NULL;
		if (context)
			plan_container_set_context(container, context);
	}
	json_object_set_new(step, "container", container);
	json_object_set_new(step, "job", json_string(plan_name(node->plan)));
}

// The step as it is done here; NULL with err.code when its placeholders cannot be filled.
static json_t *step_here(struct node *node, struct error *err)
{
	autojson json_t *bare = json_copy(plan_step_json(node->plan, node->setup->step));
	json_object_del(bare, "name"); // the user's words, no text with placeholders
	json_t *step = node_expand(node, bare, -1, err);
	if (!step)
		return NULL;
	json_object_set_new(step, "dir", json_string(node->out_dir));
	json_object_set_new(step, "node_dir", json_string(node->dir));
	plan_step_set_env(step, "MUSTER_RUN", node->run);
	if (step_now(node).is_image)
		add_container(node, step);
	return step;
}

static int start_command(struct node *node, const json_t *step, struct error *err)
{
	struct setup *s = node->setup;
	autoclose int line = -1;
	if (s->apart && (line = open_line(s, err)) < 0)
		return -1;
	autojson json_t *apart = s->apart ? apart_argv(node, step, err) : NULL;
	struct plan_step here = plan_step_read(step);
	const json_t *argv = s->apart ? apart : here.argv;
	autojson json_t *none = json_object();
	struct rank_options options = {.argv = argv,
		.env = s->apart ? none : here.env,
		.dir = node->out_dir,
		.in = line,
		.pmi = -1,
		.on_output = on_output,
		.on_exit = on_exit_of,
		.data = node};
	s->command = argv ? rank_start(node->loop, &options, err) : NULL;
	return s->command ? 0 : -1;
}

static int start_step(struct node *node, struct error *err)
{
	struct setup *s = node->setup;
	s->start = clock_mono();
	s->apart = is_apart(step_now(node));
	output_parser_free(s->lines);
	s->lines = output_parser_new(NULL, 1, drop_event, NULL, err);
	autojson json_t *step = step_here(node, err);
	if (!step)
		return -1;
	s->skipped = s->apart ? NULL : setup_step_is_done(step);
	if (s->skipped) {
		say_step(node, 0, json_array());
		free(steal(s->skipped));
		step_done(node);
		return 0;
	}
	if (step_now(node).timeout > 0)
		loop_timer_set(s->timeout, step_now(node).timeout);
	return start_command(node, step, err);
}

static void on_all_done(struct node *node, const json_t *all, void *data)
{
	if (!stopped(node))
		node->setup->on_done(node);
}

static void next_step(struct node *node)
{
	struct setup *s = node->setup;
	if (node->attempt > 1 || s->step >= plan_steps(node->plan)) {
		if (s->step == 0) // no setup at all: nobody needs to wait
			s->on_done(node);
		else
			node_fence(node, "set-up", json_null(), on_all_done, NULL);
		return;
	}
	if (s->step == 0)
		node_phase(node, "setup");
	if (step_now(node).once && node->id != 0) {
		wait_for_others(node);
		return;
	}
	struct error err = {0};
	if (start_step(node, &err) < 0) {
		autofree char *how = mem_printf("cannot start: %s", err.text);
		fail_step(node, how);
	}
}

// --- the whole ------------------------------------------------------------------

void setup_start(struct node *node, void (*on_done)(struct node *node))
{
	if (!node->setup) {
		node->setup = mem_alloc(sizeof *node->setup);
		node->setup->timeout = loop_timer_new(node->loop, on_timeout, node);
	}
	node->setup->on_done = on_done;
	next_step(node);
}

void setup_stop(struct node *node)
{
	struct setup *s = node->setup;
	if (!s)
		return;
	loop_timer_cancel(s->timeout);
	if (s->command && s->apart)
		shutdown(s->held[s->nheld - 1], SHUT_WR);
	rank_free(steal(s->command));
	setup_step_head_fini(&s->head);
}

// Those processes end their own children first, and the line after that.
static void let_go(struct setup *s)
{
	double end = clock_mono() + patience;
	for (size_t i = 0; i < s->nheld; i++)
		shutdown(s->held[i], SHUT_WR);
	for (size_t i = 0; i < s->nheld; i++) {
		double left = end - clock_mono();
		struct pollfd line = {.fd = s->held[i], .events = POLLIN};
		poll(&line, 1, left > 0 ? (int)(left * 1000) : 0);
		close(s->held[i]);
	}
	free(s->held);
}

void setup_free(struct node *node)
{
	struct setup *s = node->setup;
	if (!s)
		return;
	setup_stop(node);
	let_go(s);
	loop_timer_free(s->timeout);
	output_parser_free(s->lines);
	free(s);
	node->setup = NULL;
}

int setup_undo(const struct node *node, struct error *err)
{
	autofree char *program = proc_program();
	return mounts_clean(node->dir, program, err);
}

bool setup_unblock(const struct node *node)
{
	autofree char *program = proc_program();
	return mounts_unblock(node->dir, program);
}
