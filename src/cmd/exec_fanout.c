#include "cmd/exec_fanout.h"

#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "wire/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MOST = 64 << 10 }; // what is longer is shown in pieces

struct fanout;

struct member {
	struct fanout *all;
	size_t node;
	struct client_command *command;
	struct str lines[2]; // begun on standard output and standard error
};

struct fanout {
	struct loop *loop;
	struct client *client;
	const json_t *commands;
	struct member *members;
	size_t count, left;
	int worst;
	struct error *err;
	bool failed;
};

int exec_fanout_write(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;
	while (len) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
		else if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static void fail(struct fanout *f, const char *why, const struct member *m)
{
	if (!f->failed && m)
		error_set(f->err, ERROR_SYSTEM, "node %zu: %s", m->node, why);
	else if (!f->failed)
		error_set(f->err, ERROR_SYSTEM, "%s", why);
	f->failed = true;
}

// What is whole of the line that has begun; at the end all of it.
static void print_lines(struct member *m, bool error, bool end)
{
	struct str *line = &m->lines[error];
	autostr struct str out = {0};
	size_t at = 0;
	for (const char *newline; at < line->len && (newline = memchr(line->text + at, '\n', line->len - at));) {
		size_t n = (size_t)(newline + 1 - line->text) - at;
		str_printf(&out, "%zu| ", m->node);
		str_add(&out, line->text + at, n);
		at += n;
	}
	if (at < line->len && (end || line->len - at > LINE_MOST)) {
		str_printf(&out, "%zu| ", m->node);
		str_add(&out, line->text + at, line->len - at);
		str_puts(&out, "\n");
		at = line->len;
	}
	line->len -= at;
	if (line->len)
		memmove(line->text, line->text + at, line->len);
	if (out.len && exec_fanout_write(error ? STDERR_FILENO : STDOUT_FILENO, out.text, out.len) < 0) {
		m->all->worst = 128 + SIGPIPE; // nobody reads it any more
		loop_stop(m->all->loop);
	}
}

static void on_bytes(bool error, const void *bytes, size_t len, void *data)
{
	struct member *m = data;
	str_add(&m->lines[error], bytes, len);
	print_lines(m, error, false);
	client_taken(m->command, len);
}

static void on_room(void *data)
{
}

static void on_end(int status, const char *why, void *data)
{
	struct member *m = data;
	struct fanout *f = m->all;
	m->command = NULL;
	print_lines(m, false, true);
	print_lines(m, true, true);
	if (status < 0)
		fail(f, why, m);
	f->worst = status > f->worst ? status : f->worst;
	if (--f->left == 0)
		loop_stop(f->loop);
}

static const struct client_command_ops command_ops = {on_bytes, on_room, on_end};

static void on_welcome(void *data)
{
	struct fanout *f = data;
	size_t i;
	json_t *command;
	json_array_foreach (f->commands, i, command) {
		struct member *m = &f->members[i];
		struct client_what what = {.node = m->node, .argv = json_object_get(command, "argv")};
		m->command = client_run(f->client, &what, &command_ops, m);
		client_end_input(m->command);
	}
}

static void on_answer(const json_t *msg, void *data)
{
}

static void on_close(const char *why, void *data)
{
	struct fanout *f = data;
	if (f->left)
		fail(f, why, NULL);
	loop_stop(f->loop);
}

static const struct client_ops ops = {on_welcome, on_answer, on_close};

int exec_fanout_run(const json_t *control, const json_t *commands, struct error *err)
{
	struct fanout f = {
		.commands = commands, .count = json_array_size(commands), .err = err, .loop = loop_new(64, err)};
	if (!f.loop)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	f.left = f.count;
	f.members = mem_alloc((f.count + 1) * sizeof *f.members);
	for (size_t i = 0; i < f.count; i++)
		f.members[i] = (struct member){.all = &f,
			.node = (size_t)json_integer_value(json_object_get(json_array_get(commands, i), "node"))};
	f.client = client_dial(f.loop, control, &ops, &f, err);
	if (f.client)
		loop_run(f.loop);
	else
		f.failed = true;
	client_free(f.client);
	loop_free(f.loop);
	for (size_t i = 0; i < f.count; i++)
		for (size_t k = 0; k < 2; k++)
			str_fini(&f.members[i].lines[k]);
	free(f.members);
	return f.failed ? -1 : f.worst;
}

int exec_fanout_all(const json_t *control, size_t count, const json_t *argv, struct error *err)
{
	autojson json_t *commands = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(commands, mem_json("{s:i, s:O}", "node", (int)i, "argv", argv));
	return exec_fanout_run(control, commands, err);
}
