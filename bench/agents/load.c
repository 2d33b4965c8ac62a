// load: N agents in one process. It stands where muster-agent stands (MUSTER_AGENT), takes the same lines on standard
// input and speaks the protocol over as many connections, but prepares nothing and starts nothing: each rank begins and
// ends in words only.
//
// LOAD_REPORT names a file that gets, at the end, one JSON line of what our parent, the controller, has used: seconds
// of CPU when everybody had been launched and when everybody had left, and its memory's high water mark.
#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "wire/conn.h"
#include "wire/event.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEARTBEAT = 5, MESSAGE_MAX = 256 << 20 };

struct member {
	struct load *load;
	json_t *config, *ranks;
	struct conn *conn;
	uint64_t sent; // of stream 0
	bool left;
};

struct load {
	struct loop *loop;
	struct member *members;
	size_t count, launched, gone, open;
	char *machine;
	double began, all_open, all_launched, cpu_open, cpu_launched;
	long rss_open;
	int status;
};

// --- the controller, our parent ---------------------------------------------------

static double cpu_of(pid_t pid)
{
	char path[64];
	unsigned long long ns = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	char line[1024] = "";
	if (f && fgets(line, sizeof line, f)) {
		unsigned long long user = 0, sys = 0;
		const char *at = strrchr(line, ')');
		if (at && sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &sys) == 2)
			ns = user + sys;
	}
	if (f)
		fclose(f);
	return (double)ns / (double)sysconf(_SC_CLK_TCK);
}

static long memory_of(pid_t pid, const char *what)
{
	char path[64], line[256];
	long kib = -1;
	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "r");
	while (f && kib < 0 && fgets(line, sizeof line, f))
		if (str_starts(line, what))
			kib = strtol(line + strlen(what), NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

static void report(const struct load *l)
{
	const char *path = getenv("LOAD_REPORT");
	FILE *f = path ? fopen(path, "a") : NULL;
	if (!f)
		return;
	pid_t parent = getppid();
	fprintf(f,
		"{\"agents\":%zu,\"open_s\":%.3f,\"launched_s\":%.3f,\"left_s\":%.3f,\"cpu_open_s\":%.2f,\"cpu_"
		"launched_s\":%.2f,\"cpu_left_s\":%.2f,"
		"\"open_rss_kib\":%ld,\"hwm_kib\":%ld}\n",
		l->count, l->all_open - l->began, l->all_launched - l->began, clock_mono() - l->began, l->cpu_open,
		l->cpu_launched, cpu_of(parent), l->rss_open, memory_of(parent, "VmHWM:"));
	fclose(f);
}

// --- one agent ------------------------------------------------------------------

static const char *text_of(const struct member *m, const char *key)
{
	return json_string_value(json_object_get(m->config, key));
}

static int node_of(const struct member *m)
{
	return (int)json_integer_value(json_object_get(m->config, "node"));
}

static void say(struct member *m, json_t *event)
{
	json_object_set_new(event, "node", json_integer(node_of(m)));
	autofree char *line = event_print(event);
	conn_send_bytes(m->conn, 0, m->sent, line, strlen(line));
	m->sent += strlen(line);
	json_decref(event);
}

static void on_open(struct conn *conn, void *data)
{
	struct member *m = data;
	conn_limit(conn, MESSAGE_MAX);
	json_t *facts = mem_json("{s:s, s:i, s:I}", "hostname", "load", "pid", (int)getpid(), "started",
		(json_int_t)proc_started(getpid()));
	autojson json_t *hello = mem_json("{s:s, s:s, s:i, s:s, s:s, s:s, s:i, s:s, s:o, s:i, s:b}", "msg", "hello",
		"run", text_of(m, "run"), "node", node_of(m), "token", text_of(m, "token"), "address",
		text_of(m, "address"), "name", text_of(m, "name"), "port", 9, "machine", m->load->machine, "facts",
		facts, "attempt", 0, "leaving", 0);
	conn_send(conn, hello);
	if (++m->load->open == m->load->count) {
		m->load->all_open = clock_mono();
		m->load->cpu_open = cpu_of(getppid());
		m->load->rss_open = memory_of(getppid(), "VmRSS:");
	}
}

static void on_launch(struct member *m, const json_t *msg)
{
	m->ranks = json_incref(json_object_get(json_object_get(msg, "plan"), "ranks"));
	say(m, event_make("phase", "s:s, s:s", "name", "preflight", "edge", "begin"));
	autojson json_t *fence = mem_json("{s:s, s:s, s:{s:[], s:s, s:i}}", "msg", "fence", "name", "rendezvous-1",
		"data", "ports", "machine", m->load->machine, "ranks", (int)json_array_size(m->ranks));
	conn_send(m->conn, fence);
	if (++m->load->launched == m->load->count) {
		m->load->all_launched = clock_mono();
		m->load->cpu_launched = cpu_of(getppid());
	}
}

static void on_fence(struct member *m)
{
	say(m, event_make("phase", "s:s, s:s, s:f", "name", "preflight", "edge", "end", "seconds", 0.0));
	say(m, event_make("phase", "s:s, s:s", "name", "run", "edge", "begin"));
	size_t i;
	json_t *rank;
	json_array_foreach (m->ranks, i, rank)
		say(m, event_make("start", "s:O, s:i, s:i, s:O", "rank", json_object_get(rank, "rank"), "pid",
			       (int)getpid(), "attempt", 1, "argv", json_object_get(rank, "argv")));
	json_array_foreach (m->ranks, i, rank)
		say(m, event_make("exit", "s:O, s:i, s:n, s:n, s:f, s:i, s:[]", "rank", json_object_get(rank, "rank"),
			       "status", 0, "signal", "why", "seconds", 0.0, "attempt", 1, "last"));
}

static void on_bye(struct member *m)
{
	if (m->left)
		return;
	m->left = true;
	say(m, event_make("phase", "s:s, s:s, s:f", "name", "run", "edge", "end", "seconds", 0.0));
	say(m, event_make("left", "s:{}", "streams"));
}

static void on_ack(struct member *m, const json_t *msg)
{
	const json_t *have = json_object_get(json_object_get(msg, "streams"), "0");
	if (m->left && (uint64_t)json_integer_value(have) == m->sent)
		conn_close(m->conn, "all is said");
}

static void on_text(struct conn *conn, json_t *msg, void *data)
{
	struct member *m = data;
	const char *kind = json_string_value(json_object_get(msg, "msg"));
	if (strcmp(kind, "launch") == 0)
		on_launch(m, msg);
	else if (strcmp(kind, "fence") == 0)
		on_fence(m);
	else if (strcmp(kind, "bye") == 0)
		on_bye(m);
	else if (strcmp(kind, "ack") == 0)
		on_ack(m, msg);
	else if (strcmp(kind, "refused") == 0)
		fprintf(stderr, "load: agent %d: refused: %s\n", node_of(m),
			json_string_value(json_object_get(msg, "why")));
}

static void on_bytes(struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
}

static void on_close(struct conn *conn, const char *why, void *data)
{
	struct member *m = data;
	struct load *l = m->load;
	m->conn = NULL;
	if (!m->left) {
		fprintf(stderr, "load: agent %d: %s\n", node_of(m), why);
		l->status = 3;
	}
	if (++l->gone < l->count)
		return;
	report(l);
	loop_stop(l->loop);
}

static const struct conn_ops ops = {on_open, on_text, on_bytes, NULL, on_close};

// --- all of them ------------------------------------------------------------------

static void read_members(struct load *l)
{
	char *line = NULL;
	size_t size = 0;
	while (getline(&line, &size, stdin) > 0) {
		l->members = mem_resize(l->members, (l->count + 1) * sizeof *l->members);
		l->members[l->count] = (struct member){.config = json_loads(line, 0, NULL)};
		if (l->members[l->count].config)
			l->count++;
	}
	free(line);
}

static int fail(const char *why)
{
	fprintf(stderr, "load: %s\n", why);
	return 3;
}

int main(void)
{
	struct load l = {.machine = proc_machine(), .began = clock_mono()};
	struct error err = {0};
	signal(SIGPIPE, SIG_IGN);
	read_members(&l);
	if (l.count == 0)
		return fail("expected the lines of an executor on standard input");
	l.loop = loop_new(0, &err);
	if (!l.loop)
		return fail(err.text);
	for (size_t i = 0; i < l.count; i++) {
		struct member *m = &l.members[i];
		m->load = &l;
		m->conn = conn_dial(l.loop, text_of(m, "url"), text_of(m, "fingerprint"), HEARTBEAT, &ops, m, &err);
		if (!m->conn)
			return fail(err.text);
	}
	loop_run(l.loop);
	loop_free(l.loop);
	for (size_t i = 0; i < l.count; i++) {
		json_decref(l.members[i].config);
		json_decref(l.members[i].ranks);
	}
	free(l.members);
	free(l.machine);
	return l.status;
}
