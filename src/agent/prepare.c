#include "agent/prepare.h"

#include "agent/container.h"
#include "agent/intake.h"
#include "agent/preflight.h"
#include "agent/setup.h"
#include "agent/stage.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// Less than this is no room to work in.
static const double disk_min = 16 << 20, memory_min = 16 << 20;
static const double clock_max = 0.5;      // seconds that clocks may differ before we say so
static const double peer_deadline = 15;   // seconds a peer has to answer the preflight

struct prepare {
	void (*on_ready)(struct node *node);
	struct child *server; // the preflight, which also answers the others
	struct child *client; // the preflight that measures bandwidth
	struct child *stager;
	bool checked;        // the preflight's rows have come
	int *held;           // sockets that keep our ports ours until the ranks start
	size_t nheld, turn;
};

static void rendezvous(struct node *node);
static void next_turn(struct node *node);
static void stage(struct node *node);
static void contain(struct node *node);
static void finish(struct node *node);

static bool flag(const json_t *tree, const char *name)
{
	return json_is_true(json_object_get(tree, name));
}

static bool stopped(const struct node *node)
{
	return !node->prepare || node->failed;
}

// --- preflight ----------------------------------------------------------------

struct preflight_work {
	struct node *node;
	bool bandwidth;
};

static int preflight_work(int out, int control, void *data)
{
	struct preflight_work *w = data;
	struct node *node = w->node;
	size_t n = json_array_size(node->peers);
	struct preflight_peer *peers = mem_alloc(n * sizeof *peers);
	for (size_t i = 0; i < n; i++) {
		const json_t *p = json_array_get(node->peers, i);
		peers[i] = (struct preflight_peer){.node = i,
			.name = json_string_value(json_object_get(p, "name")),
			.address = json_string_value(json_object_get(p, "address")),
			.port = (int)json_integer_value(json_object_get(p, "port"))};
	}
	struct preflight_options options = {.node = node->id,
		.listener = 5,
		.peers = peers,
		.npeers = n,
		.nonce = node->nonce,
		.dir = node->dir,
		.bandwidth = w->bandwidth,
		.deadline = peer_deadline,
		.control = control,
		.out = out};
	struct error err = {0};
	if (preflight_run(&options, &err) == 0)
		return 0;
	autojson json_t *line = event_make("fail", "s:s", "why", err.text);
	autofree char *text = event_print(line);
	fs_write_fd(out, text, strlen(text), NULL);
	return 1;
}

static void judge_row(struct node *node, const json_t *row)
{
	const json_t *offset = json_object_get(row, "offset");
	double latency = json_number_value(json_object_get(row, "latency")); // the offset is not known better than this
	if (!flag(row, "ok"))
		node_fail(node, -1, json_string_value(json_object_get(row, "why")));
	else if (json_is_number(offset) && fabs(json_number_value(offset)) > clock_max + latency) {
		autofree char *why = mem_printf("the clock of node %d is %+.3f s off ours", (int)json_integer_value(json_object_get(row, "to")),
			json_number_value(offset));
		node_event(node, event_make("warn", "s:s", "why", why));
	}
}

static void judge_room(struct node *node, const char *what, const json_t *value, double min)
{
	if (!json_is_number(value) || json_number_value(value) >= min)
		return;
	autofree char *there = str_bytes(json_number_value(value)), *wanted = str_bytes(min);
	autofree char *why = mem_printf("node %zu has only %s of %s free in '%s'; at least %s is needed", node->id, there, what, node->dir, wanted);
	node_fail(node, -1, why);
}

static void on_preflight_line(json_t *line, void *data)
{
	struct node *node = data;
	if (stopped(node))
		return;
	if (event_is(line, "fail")) {
		node_fail(node, -1, json_string_value(json_object_get(line, "why")));
		return;
	}
	node_event(node, json_incref(line));
	size_t i;
	json_t *row;
	json_array_foreach(json_object_get(line, "rows"), i, row)
		judge_row(node, row);
	judge_room(node, "disk", json_object_get(line, "disk"), disk_min);
	judge_room(node, "memory", json_object_get(line, "memory"), memory_min);
	if (node->failed)
		return;
	if (node->prepare->checked)
		next_turn(node);
	else {
		node->prepare->checked = true;
		rendezvous(node);
	}
}

static void judge_exit(struct node *node, int status)
{
	if (!stopped(node) && status != 0) {
		autofree char *why = mem_printf("the preflight check of node %zu ended with status %d", node->id, status);
		node_fail(node, -1, why);
	}
}

static void on_server_exit(int status, void *data)
{
	struct node *node = data;
	if (node->prepare)
		node->prepare->server = NULL;
	judge_exit(node, status);
}

static void on_client_exit(int status, void *data)
{
	struct node *node = data;
	if (node->prepare)
		node->prepare->client = NULL;
	judge_exit(node, status);
}

static struct child *start_preflight(struct node *node, bool bandwidth)
{
	struct preflight_work work = {node, bandwidth};
	struct child_options options = {.work = preflight_work,
		.work_data = &work,
		.keep = node->listener,
		.on_line = on_preflight_line,
		.on_exit = bandwidth ? on_client_exit : on_server_exit,
		.data = node};
	struct error err;
	struct child *child = child_start(node->loop, &options, &err);
	if (!child)
		node_fail(node, -1, err.text);
	return child;
}

// --- rendezvous ---------------------------------------------------------------

static json_t *hold_ports(struct node *node)
{
	json_t *ports = json_array();
	if (!flag(node->plan, "ports"))
		return ports;
	struct prepare *p = node->prepare;
	size_t n = json_array_size(json_object_get(node->plan, "ranks"));
	p->held = mem_alloc(n * sizeof *p->held);
	for (; p->nheld < n; p->nheld++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
		struct sockaddr_in a = {.sin_family = AF_INET};
		socklen_t len = sizeof a;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || getsockname(fd, (struct sockaddr *)&a, &len) < 0)
			node_fail(node, -1, "there is no free port");
		p->held[p->nheld] = fd;
		json_array_append_new(ports, json_integer(ntohs(a.sin_port)));
	}
	return ports;
}

static void release_ports(struct prepare *p)
{
	for (size_t i = 0; i < p->nheld; i++)
		close(p->held[i]);
	free(steal(p->held));
	p->nheld = 0;
}

// Numbers the machines in the order they appear, once for each rank.
static void number_machines(struct node *node, const json_t *all)
{
	autojson json_t *numbers = json_object();
	node->size = (size_t)json_integer_value(json_object_get(node->plan, "size"));
	node->machines = mem_resize(node->machines, node->size * sizeof *node->machines);
	size_t rank = 0, i;
	const json_t *brought;
	json_array_foreach(all, i, brought) {
		const char *machine = json_string_value(json_object_get(brought, "machine"));
		if (!json_object_get(numbers, machine))
			json_object_set_new(numbers, machine, json_integer((json_int_t)json_object_size(numbers)));
		json_int_t ranks = json_integer_value(json_object_get(brought, "ranks"));
		for (json_int_t r = 0; r < ranks && rank < node->size; r++)
			node->machines[rank++] = (size_t)json_integer_value(json_object_get(numbers, machine));
	}
}

static int write_hostfile(struct node *node)
{
	autostr struct str s = {0};
	for (size_t i = 0; i < json_array_size(node->peers); i++)
		str_printf(&s, "%s\n", json_string_value(json_object_get(json_array_get(node->peers, i), "address")));
	autofree char *path = fs_join(node->dir, "hosts");
	struct error err;
	if (fs_write(path, s.text, s.len, 0644, &err) < 0) {
		node_fail(node, -1, err.text);
		return -1;
	}
	return 0;
}

static void on_rendezvous(struct node *node, const json_t *all, void *data)
{
	if (stopped(node))
		return;
	json_decref(node->ports);
	node->ports = json_array();
	size_t i;
	json_t *brought;
	json_array_foreach(all, i, brought)
		json_array_extend(node->ports, json_object_get(brought, "ports"));
	number_machines(node, all);
	if (write_hostfile(node) < 0)
		return;
	if (node->preflight_only)
		next_turn(node);
	else {
		child_end(node->prepare->server);
		stage(node);
	}
}

// A container shares no memory with another one, wherever that is.
static char *machine_of(const struct node *node)
{
	return json_object_get(node->plan, "container") ? mem_printf("%s, node %zu", node->machine, node->id) : mem_strdup(node->machine);
}

static void rendezvous(struct node *node)
{
	autofree char *name = mem_printf("rendezvous-%zu", node->attempt), *machine = machine_of(node);
	json_t *ports = hold_ports(node);
	node_fence(node, name,
		mem_json("{s:o, s:s, s:i}", "ports", ports, "machine", machine, "ranks",
			(int)json_array_size(json_object_get(node->plan, "ranks"))),
		on_rendezvous, NULL);
}

// --- bandwidth, one node after the other ----------------------------------------

static void on_turn(struct node *node, const json_t *all, void *data)
{
	if (stopped(node))
		return;
	size_t turn = node->prepare->turn++;
	if (turn == node->count) { // the last one has had its turn too: nobody needs our answers any more
		child_end(node->prepare->server);
		finish(node);
	} else if (turn == node->id)
		node->prepare->client = start_preflight(node, true); // its line calls next_turn
	else
		next_turn(node);
}

static void next_turn(struct node *node)
{
	child_end(node->prepare->client);
	autofree char *name = mem_printf("turn-%zu", node->prepare->turn);
	node_fence(node, name, json_null(), on_turn, NULL);
}

// --- inputs -------------------------------------------------------------------

// A live input of a node that does not see the controller's files is where the executor has put it.
static void find_live(const struct node *node, json_t *input, size_t number)
{
	const char *live = json_string_value(json_object_get(node->config, "live"));
	const char *kind = json_string_value(json_object_get(input, "kind"));
	if (!live || !kind || strcmp(kind, "live") != 0)
		return;
	autofree char *from = mem_printf("%s/%zu", live, number);
	json_object_set_new(input, "from", json_string(from));
}

// What no node can get by itself is sent by the controller: paths, unless its files are seen here too, and what it fetches with the user's
// own rights.
static bool is_sent(const struct node *node, const json_t *input)
{
	const char *kind = json_string_value(json_object_get(input, "kind"));
	return strcmp(kind, "git") == 0 || (strcmp(kind, "path") == 0 && !node->same_files);
}

// The inputs that this node brings itself (once: only those that all share), those that are sent with their "index".
static json_t *own_inputs(struct node *node, bool once)
{
	json_t *list = json_array();
	size_t i;
	json_t *input;
	json_array_foreach(json_object_get(node->plan, "inputs"), i, input) {
		if ((node->shared && flag(input, "once")) != once || (node->same_files && flag(input, "context")))
			continue;
		json_t *own = json_copy(input);
		find_live(node, own, i);
		if (is_sent(node, input))
			json_object_set_new(own, "index", json_integer((json_int_t)i));
		json_array_append_new(list, own);
	}
	return list;
}

struct stage_work {
	json_t *each, *once;
	const char *data_dir, *shared;
};

static int stage_work(int out, int control, void *data)
{
	struct stage_work *w = data;
	const int wire = 5;
	if (w->once && stage_run(w->once, w->shared, wire, out) < 0)
		return 1;
	return stage_run(w->each, w->data_dir, wire, out) < 0 ? 1 : 0;
}

static void fail_input(struct node *node, const char *name, const char *reason)
{
	autofree char *why = mem_printf("input '%s': %s", name, reason);
	node_fail(node, -1, why);
}

// The controller cannot send it: the stager waits in vain.
static void on_not_sent(struct node *node, size_t index, const char *why)
{
	if (stopped(node))
		return;
	const json_t *input = json_array_get(json_object_get(node->plan, "inputs"), index);
	node_event(node, event_make("input", "s:O, s:O, s:b, s:s, s:b", "name", json_object_get(input, "name"), "from", json_object_get(input, "from"),
		"ok", 0, "why", why, "sent", 1));
	fail_input(node, json_string_value(json_object_get(input, "name")), why);
	child_kill(steal(node->prepare->stager));
}

static void on_stage_line(json_t *line, void *data)
{
	struct node *node = data;
	if (stopped(node))
		return;
	if (event_is(line, "want")) {
		intake_want(node->intake, (size_t)json_integer_value(json_object_get(line, "input")));
		return;
	}
	node_event(node, json_incref(line));
	const json_t *ok = json_object_get(line, "ok");
	if (json_is_false(ok))
		fail_input(node, json_string_value(json_object_get(line, "name")), json_string_value(json_object_get(line, "why")));
}

// Where node 0's copy is seen from here.
static int link_shared(struct node *node, struct error *err)
{
	autojson json_t *once = own_inputs(node, true);
	size_t i;
	json_t *input;
	json_array_foreach(once, i, input) {
		autofree char *path = stage_path(input);
		autofree char *from = fs_join(node->shared, path), *to = fs_join(node->data_dir, path);
		if (fs_is_inside(path) && strchr(path, '/')) {
			autofree char *parent = mem_strndup(to, (size_t)(strrchr(to, '/') - to));
			if (fs_mkdirs(parent, 0755, err) < 0)
				return -1;
		}
		if (symlink(from, to) < 0 && errno != EEXIST)
			return error_errno(err, "cannot make the link '%s'", to);
	}
	return 0;
}

static void on_staged(struct node *node, const json_t *all, void *data)
{
	if (stopped(node))
		return;
	struct error err;
	if (node->shared && link_shared(node, &err) < 0) {
		node_fail(node, -1, err.text);
		return;
	}
	setup_start(node, contain);
}

static void on_stage_exit(int status, void *data)
{
	struct node *node = data;
	if (node->prepare)
		node->prepare->stager = NULL;
	intake_free(steal(node->intake));
	if (stopped(node))
		return;
	if (status != 0) {
		autofree char *why = mem_printf("fetching the inputs ended with status %d", status);
		node_fail(node, -1, why);
		return;
	}
	node_fence(node, "staged", json_null(), on_staged, NULL);
}

// One copy for all cannot be where the nodes share nothing.
static void warn_of_once(struct node *node)
{
	size_t i;
	json_t *input;
	json_array_foreach(json_object_get(node->plan, "inputs"), i, input) {
		autofree char *why = mem_printf("input '%s' says 'once', but the nodes share no directory: each has a copy of its own",
			json_string_value(json_object_get(input, "name")));
		if (node->id == 0 && !node->shared && flag(input, "once"))
			node_event(node, event_make("warn", "s:s", "why", why));
	}
}

static void stage(struct node *node)
{
	if (node->attempt > 1 || json_array_size(json_object_get(node->plan, "inputs")) == 0) {
		setup_start(node, contain);
		return;
	}
	node_phase(node, "stage");
	warn_of_once(node);
	autojson json_t *each = own_inputs(node, false), *once = own_inputs(node, true);
	struct stage_work work = {each, node->id == 0 && json_array_size(once) ? once : NULL, node->data_dir, node->shared};
	struct error err;
	autoclose int wire = -1;
	intake_free(node->intake);
	node->intake = intake_new(node, on_not_sent, &wire, &err);
	struct child_options options = {
		.work = stage_work, .work_data = &work, .keep = wire, .on_line = on_stage_line, .on_exit = on_stage_exit, .data = node};
	if (node->intake)
		node->prepare->stager = child_start(node->loop, &options, &err);
	if (!node->prepare->stager)
		node_fail(node, -1, err.text);
}

// --- the whole ----------------------------------------------------------------

static void on_contained(struct node *node)
{
	if (!stopped(node))
		finish(node);
}

static void contain(struct node *node)
{
	container_start(node, on_contained);
}

static void finish(struct node *node)
{
	void (*on_ready)(struct node *) = node->prepare->on_ready;
	release_ports(node->prepare);
	on_ready(node);
}

void prepare_start(struct node *node, void (*on_ready)(struct node *node))
{
	struct prepare *p = node->prepare = mem_alloc(sizeof *p);
	p->on_ready = on_ready;
	node_phase(node, "preflight");
	if (node->attempt > 1 || (!flag(node->plan, "preflight") && !node->preflight_only)) {
		rendezvous(node);
		return;
	}
	p->server = start_preflight(node, false);
}

void prepare_stop(struct node *node)
{
	struct prepare *p = node->prepare;
	if (!p)
		return;
	node->prepare = NULL;
	child_kill(p->server);
	child_kill(p->client);
	child_kill(p->stager);
	intake_free(steal(node->intake));
	setup_stop(node);
	release_ports(p);
	free(p);
}
