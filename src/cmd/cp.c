#include "base/clock.h"
#include "base/copy_stream.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/live_target.h"
#include "cmd/options.h"
#include "run/clusters.h"
#include "wire/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct options_usage usage = {
	.arguments = "FROM TO",
	.least = 2,
	.most = 2,
	.about = "Copies a file or a directory to or from the nodes of a persistent cluster. Either FROM or TO is "
		 "NAME:PATH (all nodes) or NAME/K:PATH (node K). A relative PATH starts in the directory in which "
		 "commands run on the node. From all nodes, the copy from node K goes to TO/node-K. Write a local "
		 "path with a ':' as ./a:b.",
};

enum { CHUNK = 32 * 1024 };
static const double redraw = 0.2;

struct copy;

// One node's.
struct part {
	struct copy *copy;
	size_t node;
	struct client_command *command;
	struct tar_stream_reader *reader; // to the node
	uint64_t at;
	struct loop_watch *watch; // from the node: to the child that puts it on disk
	struct str out;
	pid_t child;
	int child_fd; // before the loop is there
	bool ended;   // input
	struct str said;
	uint64_t bytes;
};

struct copy {
	const char *local, *remote;
	bool up; // to the nodes
	struct live_target target;
	size_t first, count;
	struct tar_stream *tar;
	char *head;
	struct part *parts;
	struct loop *loop;
	struct client *client;
	struct loop_timer *draw;
	size_t left;
	bool failed, shown;
	struct error *err;
};

static void fail(struct part *p, const char *why)
{
	struct copy *c = p->copy;
	if (!c->failed)
		error_set(c->err, ERROR_SYSTEM, "cp: node %zu: %s", p->node, why);
	c->failed = true;
}

// --- progress -----------------------------------------------------------------

static void on_draw(void *data)
{
	struct copy *c = data;
	uint64_t sum = 0;
	for (size_t i = 0; i < c->count; i++)
		sum += c->parts[i].bytes;
	autofree char *done = str_bytes((double)sum),
		      *all = c->tar ? str_bytes((double)tar_stream_size(c->tar) * (double)c->count) : NULL;
	fprintf(stderr, "\r%s%s%s, %zu of %zu nodes done\033[K", done, all ? " of " : "", all ? all : "",
		c->count - c->left, c->count);
	c->shown = true;
	loop_timer_set(c->draw, redraw);
}

// --- to the nodes ---------------------------------------------------------------

static void send_more(struct part *p)
{
	struct copy *c = p->copy;
	struct error err = {0};
	char bytes[CHUNK];
	while (!p->ended && p->command && client_room(p->command)) {
		ssize_t n = tar_stream_read(p->reader, p->at, bytes, sizeof bytes, &err);
		if (n < 0) {
			fail(p, err.text);
			loop_stop(c->loop); // the nodes see it end too early
			return;
		}
		if (n > 0)
			client_write(p->command, bytes, (size_t)n);
		p->at += (uint64_t)n;
		p->bytes = p->at;
		if (p->at == tar_stream_size(c->tar)) {
			p->ended = true;
			client_end_input(p->command);
		}
	}
}

// --- from the nodes -------------------------------------------------------------

// False when the child takes no more: it has said why.
static bool flush(struct part *p)
{
	size_t done = 0;
	while (done < p->out.len) {
		ssize_t n = send(
			loop_watch_fd(p->watch), p->out.text + done, p->out.len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			loop_watch_writable(p->watch);
			break;
		}
		if (n < 0 && errno != EINTR)
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	if (done && p->command)
		client_taken(p->command, done);
	p->bytes += done;
	p->out.len -= done;
	if (p->out.len)
		memmove(p->out.text, p->out.text + done, p->out.len);
	else if (p->ended)
		shutdown(loop_watch_fd(p->watch), SHUT_WR);
	return true;
}

static void part_done(struct part *p)
{
	if (--p->copy->left == 0)
		loop_stop(p->copy->loop);
}

// The child says why it cannot go on, or just ends.
static void on_child(enum loop_event event, void *data)
{
	struct part *p = data;
	char text[1024];
	if (event == LOOP_WRITABLE) {
		flush(p);
		return;
	}
	ssize_t n;
	while ((n = read(loop_watch_fd(p->watch), text, sizeof text)) > 0)
		str_add(&p->said, text, (size_t)n);
	if (n < 0 && event != LOOP_CLOSED && (errno == EAGAIN || errno == EINTR))
		return;
	if (event != LOOP_CLOSED)
		loop_unwatch(p->watch);
	p->watch = NULL;
	if (p->said.len)
		fail(p, p->said.text);
	client_drop(steal(p->command));
	part_done(p);
}

// --- commands -------------------------------------------------------------------

static void on_bytes(bool error, const void *bytes, size_t len, void *data)
{
	struct part *p = data;
	if (error)
		str_add(&p->said, bytes, len);
	if (error || !p->watch) {
		client_taken(p->command, len);
		return;
	}
	str_add(&p->out, bytes, len);
	flush(p);
}

static void on_room(void *data)
{
	struct part *p = data;
	if (p->copy->up)
		send_more(p);
}

static void on_end(int status, const char *why, void *data)
{
	struct part *p = data;
	p->command = NULL;
	if (status != 0 && p->said.len) {
		p->said.text[strcspn(p->said.text, "\n")] = '\0';
		fail(p, str_starts(p->said.text, "muster-agent: ") ? p->said.text + 14 : p->said.text);
	} else if (status != 0)
		fail(p, why ? why : "its agent failed");
	p->said.len = 0;
	if (p->copy->up || !p->watch) {
		part_done(p);
		return;
	}
	p->ended = true;
	flush(p);
}

static const struct client_command_ops command_ops = {on_bytes, on_room, on_end};

static void on_welcome(void *data)
{
	struct copy *c = data;
	autojson json_t *argv = mem_json("[s, s, s]", "muster-agent", c->up ? "receive" : "send", c->remote);
	for (size_t i = 0; i < c->count; i++) {
		struct part *p = &c->parts[i];
		struct client_what what = {.node = p->node, .argv = argv, .agent = true};
		p->command = client_run(c->client, &what, &command_ops, p);
		if (c->up) {
			client_write(p->command, c->head, strlen(c->head));
			send_more(p);
			if (tar_stream_size(c->tar) == 0) {
				p->ended = true;
				client_end_input(p->command);
			}
		} else
			client_end_input(p->command);
	}
}

static void on_answer(const json_t *msg, void *data)
{
}

static void on_close(const char *why, void *data)
{
	struct copy *c = data;
	if (c->left && !c->failed)
		error_set(c->err, ERROR_SYSTEM, "cp: %s", why);
	c->failed = true;
	loop_stop(c->loop);
}

static const struct client_ops ops = {on_welcome, on_answer, on_close};

// --- the whole --------------------------------------------------------------------

// Puts on disk what comes, in a process of its own: disks make one wait.
static int start_child(struct part *p, struct error *err)
{
	struct copy *c = p->copy;
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_errno(err, "cannot make a pair of sockets");
	p->child = fork();
	if (p->child == 0) {
		close(ends[0]);
		for (struct part *other = c->parts; other < p; other++)
			close(other->child_fd);
		autofree char *to = c->count > 1 ? mem_printf("%s/node-%zu/", c->local, p->node) : mem_strdup(c->local);
		struct error why = {0};
		int rc = copy_stream_receive(ends[1], to, &why);
		if (rc < 0)
			fs_write_fd(ends[1], why.text, strlen(why.text), NULL);
		_exit(rc < 0);
	}
	close(ends[1]);
	p->child_fd = ends[0];
	if (p->child < 0)
		return error_errno(err, "cannot start a process");
	fcntl(p->child_fd, F_SETFL, O_NONBLOCK);
	return 0;
}

static int prepare(struct copy *c, struct error *err)
{
	c->left = c->count;
	c->parts = mem_alloc(c->count * sizeof *c->parts);
	for (size_t i = 0; i < c->count; i++)
		c->parts[i] = (struct part){.copy = c, .node = c->first + i, .child_fd = -1};
	if (c->up && !(c->tar = tar_stream_new(c->local, NULL, NULL, err)))
		return error_wrap(err, "cp");
	c->head = c->up ? copy_stream_head(c->tar, c->local) : NULL;
	for (size_t i = 0; i < c->count; i++)
		if (c->up)
			c->parts[i].reader = tar_stream_open(c->tar);
		else if (start_child(&c->parts[i], err) < 0)
			return -1;
	return 0;
}

static int carry(struct copy *c, struct error *err)
{
	c->loop = loop_new(0, err);
	if (!c->loop)
		return -1;
	c->draw = loop_timer_new(c->loop, on_draw, c);
	for (size_t i = 0; !c->up && i < c->count; i++)
		c->parts[i].watch = loop_watch(c->loop, steal_fd(&c->parts[i].child_fd), on_child, &c->parts[i]);
	if (isatty(STDERR_FILENO))
		loop_timer_set(c->draw, redraw);
	c->client = client_dial(c->loop, c->target.control, &ops, c, err);
	if (c->client)
		loop_run(c->loop);
	else
		c->failed = true;
	if (c->shown)
		fputs("\r\033[K", stderr);
	client_free(c->client);
	loop_timer_free(c->draw);
	loop_free(c->loop);
	return c->failed ? -1 : 0;
}

static int finish(struct copy *c, int rc, struct error *err)
{
	for (size_t i = 0; c->parts && i < c->count; i++) {
		struct part *p = &c->parts[i];
		int status = 0;
		mem_cleanup_fd(&p->child_fd);
		if (p->child > 0 && waitpid(p->child, &status, 0) == p->child && status != 0 && rc == 0)
			rc = error_set(
				err, ERROR_SYSTEM, "cp: node %zu: cannot write the copy to this machine", p->node);
		tar_stream_close(p->reader);
		str_fini(&p->out);
		str_fini(&p->said);
	}
	tar_stream_free(c->tar);
	free(c->parts);
	free(c->head);
	return rc;
}

// "lab:path" or "lab/2:path": the length of what is before the colon, 0 of a local path.
static size_t remote_part(const char *text)
{
	size_t name = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-"), len = name;
	if (text[len] == '/')
		len += 1 + strspn(text + len + 1, "0123456789");
	return name && text[len] == ':' && text[len - 1] != '/' ? len : 0;
}

static int open_target(struct copy *c, const char *place, size_t len, struct error *err)
{
	autofree char *name = mem_strndup(place, len);
	char *node = strchr(name, '/');
	if (node)
		*node++ = '\0';
	if (live_target_open_cluster(&c->target, name, err) < 0)
		return -1;
	c->count = node ? 1 : c->target.nodes;
	if (!node || live_target_node(&c->target, node, &c->first, err) == 0)
		return 0;
	live_target_close(&c->target);
	return -1;
}

static int copy(struct copy *c, const char *place, size_t len, struct error *err)
{
	c->remote = place + len + 1;
	if (!*c->remote)
		c->remote = ".";
	if (open_target(c, place, len, err) < 0)
		return -1;
	int rc = prepare(c, err);
	if (rc == 0)
		rc = carry(c, err);
	rc = finish(c, rc, err);
	live_target_close(&c->target);
	return rc;
}

int cmd_cp(int argc, char **argv, struct error *err)
{
	static const struct option_row rows[] = {{0}};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	size_t from = remote_part(argv[first]), to = remote_part(argv[first + 1]);
	if (!from == !to)
		return error_set(err, ERROR_USAGE,
			"cp: found '%s' and '%s', expected one of them to be NAME:PATH or NAME/K:PATH", argv[first],
			argv[first + 1]);
	struct copy c = {.err = err, .up = to, .local = argv[first + (from ? 1 : 0)]};
	return copy(&c, argv[first + (from ? 0 : 1)], from ? from : to, err);
}
