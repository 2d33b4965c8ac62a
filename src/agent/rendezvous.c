#include "agent/rendezvous.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/plan.h"
#include "node/hosts_file.h"
#include "node/node_address.h"
#include "node/preflight.h"
#include "node/preflight_verdict.h"
#include "wire/event.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double peer_deadline = 15;  // seconds a peer has to answer the preflight
static const double first_deadline = 3;  // at the first of several addresses, before all of them are tried
static const double others_patience = 2; // and at others, once one of them has answered

struct rendezvous {
	void (*on_met)(struct node *node);
	struct forked_task *server; // the preflight, which also answers the others
	struct forked_task *client; // the preflight that tries other addresses, or measures bandwidth
	bool checked;               // the preflight's rows have come
	json_t *rows;               // the preflight's event, when it waits for other addresses to be tried
	json_t *missed;             // the nodes that did not answer us at their first address
	json_t *doubted;            // those that did not answer somebody
	json_t *asked;              // where we have tried them: {node, address}, row by row of tried
	json_t *tried;
	int *held; // sockets that keep our ports ours until the ranks start
	size_t nheld, turn;
};

static void rendezvous(struct node *node);
static void on_tried_line(json_t *line, void *data);
static void next_turn(struct node *node);

static bool stopped(const struct node *node)
{
	return !node->rendezvous || node->failed;
}

// --- preflight ----------------------------------------------------------------

struct preflight_work {
	struct node *node;
	bool bandwidth;
	const json_t *asked; // NULL: all peers, where they are known to be
};

static const json_t *peer_of(const struct node *node, const json_t *number)
{
	return json_array_get(node->peers, (size_t)json_integer_value(number));
}

static bool has_others(const json_t *peer)
{
	return json_array_size(json_object_get(peer, "addresses")) > 1;
}

static struct preflight_peer *list_peers(const struct preflight_work *w, size_t n)
{
	struct preflight_peer *peers = mem_alloc((n + 1) * sizeof *peers);
	for (size_t i = 0; i < n; i++) {
		const json_t *asked = json_array_get(w->asked, i);
		const json_t *p =
			asked ? peer_of(w->node, json_object_get(asked, "node")) : json_array_get(w->node->peers, i);
		peers[i] = (struct preflight_peer){
			.node = asked ? (size_t)json_integer_value(json_object_get(asked, "node")) : i,
			.name = json_string_value(json_object_get(asked ? asked : p, asked ? "address" : "name")),
			.address = json_string_value(json_object_get(asked ? asked : p, "address")),
			.port = (int)json_integer_value(json_object_get(p, "port")),
			.within = !asked && !w->bandwidth && has_others(p) ? first_deadline : 0};
	}
	return peers;
}

static int preflight_work(int out, int control, void *data)
{
	struct preflight_work *w = data;
	struct node *node = w->node;
	size_t n = json_array_size(w->asked ? w->asked : node->peers);
	autofree struct preflight_peer *peers = list_peers(w, n);
	struct preflight_options options = {.node = node->id,
		.listener = 5,
		.peers = peers,
		.npeers = n,
		.nonce = node->nonce,
		.dir = node->dir,
		.bandwidth = w->bandwidth,
		.deadline = peer_deadline,
		.patience = w->asked ? others_patience : 0,
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
	autofree char *failure = NULL, *warning = NULL;
	preflight_verdict_row(row, &failure, &warning);
	if (failure)
		node_fail_named(node, failure);
	if (warning)
		node_event(node, event_make("warn", "s:s", "why", warning));
}

static void say_preflight(struct node *node, json_t *line)
{
	node_event(node, json_incref(line));
	size_t i;
	json_t *row;
	json_array_foreach (json_object_get(line, "rows"), i, row)
		judge_row(node, row);
	autofree char *why = preflight_verdict_room(line, node->id, node->dir);
	if (why)
		node_fail_named(node, why);
}

// The peers that did not answer and have other addresses: a row that is judged later.
static json_t *list_missed(const struct node *node, const json_t *line)
{
	json_t *missed = json_array();
	size_t i;
	const json_t *row;
	json_array_foreach (json_object_get(line, "rows"), i, row)
		if (!json_flag(row, "ok") && has_others(peer_of(node, json_object_get(row, "to"))))
			json_array_append(missed, json_object_get(row, "to"));
	return missed;
}

static void on_preflight_line(json_t *line, void *data)
{
	struct node *node = data;
	struct rendezvous *m = node->rendezvous;
	if (stopped(node))
		return;
	if (event_is(line, "fail")) {
		node_fail(node, -1, json_string_value(json_object_get(line, "why")));
		return;
	}
	if (!m->checked)
		m->missed = list_missed(node, line);
	if (!m->checked && json_array_size(m->missed))
		m->rows = json_incref(line);
	else
		say_preflight(node, line);
	if (node->failed)
		return;
	if (m->checked)
		next_turn(node);
	else {
		m->checked = true;
		rendezvous(node);
	}
}

static void judge_exit(struct node *node, int status)
{
	if (!stopped(node) && status != 0) {
		autofree char *why =
			mem_printf("the preflight check of node %zu ended with status %d", node->id, status);
		node_fail_named(node, why);
	}
}

static void on_server_exit(int status, void *data)
{
	struct node *node = data;
	if (node->rendezvous)
		node->rendezvous->server = NULL;
	judge_exit(node, status);
}

static void on_client_exit(int status, void *data)
{
	struct node *node = data;
	if (node->rendezvous)
		node->rendezvous->client = NULL;
	judge_exit(node, status);
}

static struct forked_task *start_preflight(struct node *node, bool bandwidth, const json_t *asked)
{
	struct preflight_work work = {node, bandwidth, asked};
	struct forked_task_options options = {.work = preflight_work,
		.work_data = &work,
		.keep = node->listener,
		.on_line = asked ? on_tried_line : on_preflight_line,
		.on_exit = bandwidth || asked ? on_client_exit : on_server_exit,
		.data = node};
	struct error err;
	struct forked_task *child = forked_task_start(node->loop, &options, &err);
	if (!child)
		node_fail(node, -1, err.text);
	return child;
}

// --- rendezvous ---------------------------------------------------------------

static json_t *hold_ports(struct node *node)
{
	json_t *ports = json_array();
	if (!plan_has_ports(node->plan))
		return ports;
	struct rendezvous *m = node->rendezvous;
	size_t n = plan_ranks(node->plan);
	m->held = mem_alloc(n * sizeof *m->held);
	for (; m->nheld < n; m->nheld++) {
		struct error err;
		int port = 0;
		m->held[m->nheld] = node_address_bind(json_array_size(node->offered) > 1, &port, &err);
		if (m->held[m->nheld] < 0)
			node_fail(node, -1, err.text);
		json_array_append_new(ports, json_integer(port));
	}
	return ports;
}

static void release_ports(struct rendezvous *m)
{
	for (size_t i = 0; i < m->nheld; i++)
		close(m->held[i]);
	free(steal(m->held));
	m->nheld = 0;
}

// A container shares no memory with another one, wherever that is.
static char *machine_of(const struct node *node)
{
	return plan_has_container(node->plan) ? mem_printf("%s, node %zu", node->machine, node->id)
					      : mem_strdup(node->machine);
}

// Numbers the machines in the order they appear, once for each rank.
static void number_machines(struct node *node, const json_t *all)
{
	autojson json_t *numbers = json_object();
	node->size = plan_size(node->plan);
	node->machines = mem_resize(node->machines, node->size * sizeof *node->machines);
	size_t rank = 0, i;
	const json_t *brought;
	json_array_foreach (all, i, brought) {
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

// Everybody knows where everybody is.
static void has_met(struct node *node)
{
	if (write_hostfile(node) < 0)
		return;
	if (node->preflight_only)
		next_turn(node);
	else {
		forked_task_end(node->rendezvous->server);
		node->rendezvous->on_met(node);
	}
}

// --- other addresses ------------------------------------------------------------

// Once settled, for all attempts: the controller names the first addresses before each, and again to a node that it has
// lost sight of, which may have met the others by then.
static void apply_moved(struct node *node)
{
	const char *key;
	json_t *address;
	json_object_foreach (node->moved, key, address) {
		size_t k = strtoul(key, NULL, 10);
		json_t *peer = json_array_get(node->peers, k);
		json_object_set(peer, "address", address);
		json_object_set(peer, "name", address); // which did not lead there
		if (k == node->id)
			node->address = json_string_value(address);
	}
}

// The rows that were judged later get what was found at the address that was taken.
static void say_rows(struct node *node)
{
	struct rendezvous *m = node->rendezvous;
	json_t *rows = json_object_get(m->rows, "rows");
	size_t i, k;
	const json_t *asked;
	json_t *row;
	json_array_foreach (m->asked, i, asked)
		json_array_foreach (rows, k, row) {
			bool same = json_equal(json_object_get(row, "to"), json_object_get(asked, "node"));
			const json_t *taken = json_object_get(peer_of(node, json_object_get(asked, "node")), "address");
			if (same && json_equal(json_object_get(asked, "address"), taken))
				json_array_set(rows, k, json_array_get(json_object_get(m->tried, "rows"), i));
		}
	if (m->rows)
		say_preflight(node, m->rows);
}

static bool settle_address(struct node *node, const json_t *number, const json_t *all)
{
	struct error err = {0};
	const json_t *peer = peer_of(node, number), *offered = json_object_get(peer, "addresses");
	const char *why, *first = json_string_value(json_object_get(peer, "address"));
	size_t who, k = (size_t)json_integer_value(number);
	const char *address = node_address_choose(offered, k, all, &why, &who, &err);
	if (!address) {
		if (who == node->id)
			node_fail_named(node, err.text);
		return false;
	}
	if (strcmp(address, first) == 0)
		return true;
	if (k == node->id)
		node_event(
			node, event_make("address", "s:s, s:s, s:s", "address", address, "instead", first, "why", why));
	autofree char *key = mem_printf("%zu", k);
	json_object_set_new(node->moved, key, json_string(address));
	return true;
}

static void on_addresses(struct node *node, const json_t *all, void *data)
{
	bool settled = true;
	size_t i;
	const json_t *number;
	if (stopped(node))
		return;
	node->moved = node->moved ? node->moved : json_object();
	json_array_foreach (node->rendezvous->doubted, i, number)
		settled = settle_address(node, number, all) && settled;
	if (!settled)
		return; // somebody says so
	apply_moved(node);
	say_rows(node);
	if (!node->failed)
		has_met(node);
}

// Tells the others what we have found.
static void bring_tried(struct node *node)
{
	struct rendezvous *m = node->rendezvous;
	json_t *reached = json_object(), *why = json_object();
	size_t i;
	const json_t *row;
	json_array_foreach (json_object_get(m->tried, "rows"), i, row) {
		const json_t *asked = json_array_get(m->asked, i);
		autofree char *key = mem_printf("%d", (int)json_integer_value(json_object_get(asked, "node")));
		if (!json_object_get(reached, key))
			json_object_set_new(reached, key, json_array());
		if (json_flag(row, "ok"))
			json_array_append(json_object_get(reached, key), json_object_get(asked, "address"));
		else if (!json_object_get(why, key))
			json_object_set(why, key, json_object_get(row, "why"));
	}
	autofree char *name = mem_printf("addresses-%zu", node->attempt);
	node_fence(node, name, mem_json("{s:o, s:o}", "reached", reached, "why", why), on_addresses, NULL);
}

static void on_tried_line(json_t *line, void *data)
{
	struct node *node = data;
	if (stopped(node))
		return;
	if (event_is(line, "fail")) {
		node_fail(node, -1, json_string_value(json_object_get(line, "why")));
		return;
	}
	forked_task_end(node->rendezvous->client);
	node->rendezvous->tried = json_incref(line);
	bring_tried(node);
}

// Somebody did not reach a node at its first address: all try all of its addresses, because it must be one for
// everybody.
static void try_addresses(struct node *node)
{
	struct rendezvous *m = node->rendezvous;
	size_t i, k;
	const json_t *number;
	json_t *address;
	m->asked = json_array();
	json_array_foreach (m->doubted, i, number)
		json_array_foreach (json_object_get(peer_of(node, number), "addresses"), k, address)
			if ((size_t)json_integer_value(number) != node->id)
				json_array_append_new(
					m->asked, mem_json("{s:O, s:O}", "node", number, "address", address));
	if (json_array_size(m->asked))
		m->client = start_preflight(node, false, m->asked); // its line goes on
	else
		bring_tried(node);
}

static json_t *list_doubted(const struct node *node, const json_t *all)
{
	autojson json_t *seen = json_object();
	json_t *list = json_array();
	size_t i, k;
	json_t *brought, *number;
	json_array_foreach (all, i, brought)
		json_array_foreach (json_object_get(brought, "missed"), k, number) {
			autofree char *key = mem_printf("%lld", (long long)json_integer_value(number));
			if (!peer_of(node, number) || json_object_get(seen, key))
				continue;
			json_object_set_new(seen, key, json_true());
			json_array_append(list, number);
		}
	return list;
}

static void on_rendezvous(struct node *node, const json_t *all, void *data)
{
	struct rendezvous *m = node->rendezvous;
	if (stopped(node))
		return;
	json_decref(node->ports);
	node->ports = json_array();
	size_t i;
	json_t *brought;
	json_array_foreach (all, i, brought)
		json_array_extend(node->ports, json_object_get(brought, "ports"));
	number_machines(node, all);
	m->doubted = list_doubted(node, all);
	if (json_array_size(m->doubted))
		try_addresses(node);
	else
		has_met(node);
}

static void rendezvous(struct node *node)
{
	struct rendezvous *m = node->rendezvous;
	autofree char *name = mem_printf("rendezvous-%zu", node->attempt);
	json_t *ports = hold_ports(node);
	autofree char *machine = machine_of(node);
	json_t *brings =
		mem_json("{s:o, s:s, s:i}", "ports", ports, "machine", machine, "ranks", (int)plan_ranks(node->plan));
	if (json_array_size(m->missed))
		json_object_set(brings, "missed", m->missed);
	node_fence(node, name, brings, on_rendezvous, NULL);
}

// --- bandwidth, one node after the other ----------------------------------------

static void on_turn(struct node *node, const json_t *all, void *data)
{
	if (stopped(node))
		return;
	size_t turn = node->rendezvous->turn++;
	if (turn == node->count) { // the last one has had its turn too: nobody needs our answers any more
		forked_task_end(node->rendezvous->server);
		node->rendezvous->on_met(node);
	} else if (turn == node->id)
		node->rendezvous->client = start_preflight(node, true, NULL); // its line calls next_turn
	else
		next_turn(node);
}

static void next_turn(struct node *node)
{
	forked_task_end(node->rendezvous->client);
	autofree char *name = mem_printf("turn-%zu", node->rendezvous->turn);
	node_fence(node, name, json_null(), on_turn, NULL);
}

// --- the whole ----------------------------------------------------------------

void rendezvous_start(struct node *node, void (*on_met)(struct node *node))
{
	struct rendezvous *m = node->rendezvous = mem_alloc(sizeof *m);
	m->on_met = on_met;
	if (node->attempt > 1 || (!plan_has_preflight(node->plan) && !node->preflight_only))
		rendezvous(node);
	else
		m->server = start_preflight(node, false, NULL);
}

// Where nobody resolves the names of nodes, they stand in a file; where that cannot be written, as when we are not root
// of a container, nodes are called as their addresses.
static void make_names_known(struct node *node)
{
	const char *path = json_text(node->config, "hosts");
	size_t i;
	json_t *peer;
	if (!path || hosts_file_set(path, node->peers, NULL) == 0)
		return;
	json_array_foreach (node->peers, i, peer)
		json_object_set(peer, "name", json_object_get(peer, "address"));
}

void rendezvous_set_peers(struct node *node, json_t *peers)
{
	json_decref(node->peers);
	node->peers = json_incref(peers);
	apply_moved(node);
	make_names_known(node);
}

void rendezvous_release(struct node *node)
{
	release_ports(node->rendezvous);
}

void rendezvous_stop(struct node *node)
{
	struct rendezvous *m = node->rendezvous;
	if (!m)
		return;
	node->rendezvous = NULL;
	forked_task_kill(m->server);
	forked_task_kill(m->client);
	release_ports(m);
	json_decref(m->rows);
	json_decref(m->missed);
	json_decref(m->doubted);
	json_decref(m->asked);
	json_decref(m->tried);
	free(m);
}
