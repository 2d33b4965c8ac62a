#include "agent/container.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/unix_socket.h"
#include "docker/rank_container.h"
#include "helper/image_step.h"
#include "job/plan.h"
#include "wire/event.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

// A child of the agent makes the container and has the line to the process inside. That line's end is the container's,
// so that whatever ends the agent ends the container too; and the engine removes what has ended.

static const double answer_within = 30; // seconds for the first process of a container to say that it is there
static const int look_every = 500;      // milliseconds, for whether it is there at all

struct container {
	struct forked_task *child;
	void (*on_ready)(struct node *node);
	void (*on_gone)(struct node *node);
	pid_t first; // its first process
};

static char *socket_of(const struct node *node)
{
	return fs_join(node->dir, "container.sock");
}

// --- the child ------------------------------------------------------------------

struct work {
	const struct node *node;
	int listener, out, control;
	int inside; // the line to the first process
	pid_t first;
};

static void tell(const struct work *w, json_t *what)
{
	autojson json_t *tree = what;
	autofree char *text = json_dumps(tree, JSON_COMPACT);
	autofree char *line = mem_printf("%s\n", text);
	fs_write_fd(w->out, line, strlen(line), NULL);
}

// What lies elsewhere and is seen through the node's directory: the one copy for all, live inputs.
static json_t *dirs_of(const struct node *node)
{
	json_t *dirs = mem_json("[s]", node->dir);
	if (node->shared)
		json_array_append_new(dirs, json_string(node->shared));
	for (size_t i = 0; i < plan_inputs(node->plan); i++)
		if (plan_input(node->plan, i).kind == PLAN_INPUT_LIVE)
			json_array_append_new(dirs, json_string(plan_input(node->plan, i).from));
	return dirs;
}

// Its id, owned by the caller.
static char *make(const struct work *w, struct engine *e, const char *number, struct error *err)
{
	const struct node *node = w->node;
	struct plan_container container = plan_container(node->plan);
	autofree char *image = image_step_name(container.image, node->dir, err), *program = proc_program(),
		      *socket = socket_of(node);
	autojson json_t *dirs = dirs_of(node);
	struct rank_container box = {.label = node->run,
		.node = number,
		.image = image,
		.program = program,
		.socket = socket,
		.dirs = dirs,
		.volumes = container.volumes};
	return image ? rank_container_make(e, &box, err) : NULL;
}

// The first process says that it is there by its connection. Asked to end meanwhile there is nobody to hear of it.
static int meet(struct work *w, struct engine *e, const char *id, struct error *err)
{
	for (double end = clock_mono() + answer_within; w->inside < 0;) {
		struct pollfd fds[] = {{.fd = w->listener, .events = POLLIN}, {.fd = w->control, .events = POLLIN}};
		int some = poll(fds, countof(fds), look_every);
		if (fds[1].revents)
			return error_set(err, ERROR_CANCELLED, "cancelled");
		if (fds[0].revents)
			w->inside = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
		else if (some == 0 && (clock_mono() > end || !rank_container_runs(e, id)))
			return error_set(
				err, ERROR_SYSTEM, "its first process (muster-agent) ended or does not answer");
	}
	struct ucred who = {0};
	socklen_t len = sizeof who;
	getsockopt(w->inside, SOL_SOCKET, SO_PEERCRED, &who, &len);
	w->first = who.pid;
	return 0;
}

// The node's limits are for its ranks, so these begin in the node's control groups.
static int limit(const struct work *w, struct error *err)
{
	for (const char *list = w->node->cgroups; list && *list; list += strspn(list, ":")) {
		size_t len = strcspn(list, ":");
		autofree char *file = mem_strndup(list, len);
		autoclose int fd = open(file, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || dprintf(fd, "%d", (int)w->first) < 0)
			return error_errno(err, "cannot set the node's limits: cannot write to '%s'", file);
		list += len;
	}
	return 0;
}

static void hand_over(const struct work *w)
{
	autoclose int line = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
	char word = 'l';
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof line)];
	} control = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof line)}};
	memcpy(CMSG_DATA(&control.head), &line, sizeof line);
	struct iovec bytes = {&word, 1};
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	if (line >= 0)
		sendmsg(w->inside, &message, MSG_NOSIGNAL); // where it has ended the line's other end hears so
}

// Until the agent wants it to end, or it has ended.
static int serve(const struct work *w, struct error *err)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = w->control, .events = POLLIN}, {.fd = w->inside, .events = POLLIN},
			{.fd = w->listener, .events = POLLIN}};
		poll(fds, countof(fds), -1);
		if (fds[0].revents)
			return 0;
		if (fds[1].revents)
			return error_set(
				err, ERROR_JOB, "it ended: it was removed or killed, or the engine was stopped");
		if (fds[2].revents)
			hand_over(w);
	}
}

static int live(struct work *w, struct engine *e, const char *number, struct error *err)
{
	autofree char *id = make(w, e, number, err);
	if (!id || meet(w, e, id, err) < 0 || limit(w, err) < 0)
		return -1;
	tell(w, mem_json("{s:i}", "first", (int)w->first));
	return serve(w, err);
}

static int container_work(int out, int control, void *data)
{
	const struct node *node = data;
	struct work w = {.node = node, .listener = 5, .out = out, .control = control, .inside = -1};
	struct error err = {0}, why = {0};
	autofree char *number = mem_printf("%zu", node->id);
	struct engine *e = rank_container_engine(&err);
	if ((!e || live(&w, e, number, &err) < 0) && err.code != ERROR_CANCELLED)
		tell(&w, mem_json("{s:s}", "fail", err.text));
	if (e && rank_container_remove(e, node->run, number, &why) < 0)
		tell(&w, mem_json("{s:s}", "stays", why.text));
	engine_free(e);
	mem_cleanup_fd(&w.inside);
	return 0;
}

// --- the agent --------------------------------------------------------------------

static void on_line(json_t *line, void *data)
{
	struct node *node = data;
	struct container *c = node->container;
	const char *fail = json_text(line, "fail"), *stays = json_text(line, "stays");
	autofree char *why = mem_printf("the container of node %zu (%s)%s: %s", node->id, node_host_name(node),
		stays ? " cannot be removed" : "",
		stays  ? stays
		: fail ? fail
		       : "");
	if (stays)
		node_event(node, event_make("warn", "s:s", "why", why));
	else if (fail && !c->on_gone)
		node_fail(node, -1, why);
	else if (!fail && !c->on_gone) {
		c->first = (pid_t)json_integer_value(json_object_get(line, "first"));
		c->on_ready(node);
	}
}

static void on_exit_of(int status, void *data)
{
	struct node *node = data;
	struct container *c = node->container;
	c->child = NULL;
	c->first = 0;
	if (c->on_gone)
		container_stop(node, c->on_gone);
}

void container_start(struct node *node, void (*on_ready)(struct node *node))
{
	if (!plan_has_container(node->plan)) {
		on_ready(node);
		return;
	}
	struct container *c = node->container = mem_alloc(sizeof *c);
	c->on_ready = on_ready;
	struct error err = {0};
	autofree char *socket = socket_of(node);
	autoclose int listener = unix_socket_listen(socket, &err);
	struct forked_task_options options = {.work = container_work,
		.work_data = node,
		.keep = listener,
		.on_line = on_line,
		.on_exit = on_exit_of,
		.data = node};
	c->child = listener < 0 ? NULL : forked_task_start(node->loop, &options, &err);
	if (!c->child)
		node_fail(node, -1, err.text);
}

void container_stop(struct node *node, void (*on_gone)(struct node *node))
{
	struct container *c = node->container;
	if (c && c->child) {
		c->on_gone = on_gone;
		forked_task_end(c->child);
		return;
	}
	free(steal(node->container));
	on_gone(node);
}

void container_free(struct node *node)
{
	struct container *c = node->container;
	if (!c)
		return;
	if (c->child) {
		autofree char *number = mem_printf("%zu", node->id);
		forked_task_kill(c->child);
		struct engine *e = rank_container_engine(NULL);
		if (e)
			rank_container_remove(e, node->run, number, NULL);
		engine_free(e);
	}
	free(steal(node->container));
}

// --- a rank -----------------------------------------------------------------------

json_t *container_enter(const struct node *node, const json_t *argv, const json_t *env, int *in, struct error *err)
{
	autojson json_t *rank = mem_json("{s:O, s:O, s:s}", "argv", argv, "env", env, "dir", node->out_dir);
	autofree char *text = json_dumps(rank, JSON_COMPACT), *program = proc_program(), *socket = socket_of(node);
	autoclose int fd = memfd_create("rank", MFD_CLOEXEC);
	if (fd < 0 || fs_write_fd(fd, text, strlen(text), err) < 0 || lseek(fd, 0, SEEK_SET) < 0) {
		error_errno(err, "cannot write the rank's description");
		return NULL;
	}
	*in = steal_fd(&fd);
	return mem_json("[s, s, s]", program, "container-enter", socket);
}

// It and what it has started have the same word in their environment: it is the one on top.
pid_t container_find(const struct node *node, size_t rank)
{
	const struct container *c = node->container;
	autofree char *word = mem_printf("MUSTER_RANK=%zu", rank);
	autofree pid_t *pids = NULL;
	size_t n = c && c->first > 0 ? proc_tree(c->first, &pids) : 0;
	while (n-- > 0)
		if (pids[n] != c->first && proc_carries(pids[n], word))
			return pids[n];
	return 0;
}
