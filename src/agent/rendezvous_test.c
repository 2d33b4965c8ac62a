#include "agent/rendezvous.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "fakes/agent.h"
#include "node/preflight.h"
#include "wire/event.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char two[] = "name: t\ncluster: {nodes: 2}\nrun: {command: a, procs_per_node: 2}\n";
static const char three[] = "name: t\ncluster: {nodes: 3}\nrun: {command: a}\n";
static const char torch[] = "name: t\ncluster: {nodes: 2}\nrun: {command: a, procs_per_node: 2, launch: torch}\n";

// --- the preflight --------------------------------------------------------------------------

static struct {
	size_t npeers;
	bool bandwidth;
	double patience;
	struct {
		size_t node;
		char name[32], address[32];
		int port;
		double within;
	} peers[8];
} asked; // of the last one

int preflight_run(const struct preflight_options *options, struct error *err)
{
	asked.npeers = options->npeers;
	asked.bandwidth = options->bandwidth;
	asked.patience = options->patience;
	for (size_t i = 0; i < options->npeers; i++) {
		const struct preflight_peer *p = &options->peers[i];
		asked.peers[i].node = p->node;
		snprintf(asked.peers[i].name, sizeof asked.peers[i].name, "%s", p->name);
		snprintf(asked.peers[i].address, sizeof asked.peers[i].address, "%s", p->address);
		asked.peers[i].port = p->port;
		asked.peers[i].within = p->within;
	}
	return 0;
}

// What it has found, rows (taken) being all there is to say.
static json_t *found(json_t *rows)
{
	return event_make("preflight", "s:f, s:f, s:o", "disk", 1e9, "memory", 1e9, "rows", rows);
}

static json_t *reached(size_t node)
{
	return mem_json("{s:i, s:b, s:f, s:f}", "to", (int)node, "ok", 1, "latency", 0.001, "offset", 0.0);
}

static json_t *not_reached(size_t node, const char *why)
{
	return mem_json("{s:i, s:b, s:s}", "to", (int)node, "ok", 0, "why", why);
}

static json_t *rows_of(json_t *first, json_t *second)
{
	return second ? mem_json("[o, o]", first, second) : mem_json("[o]", first);
}

// --- the rendezvous of a test -----------------------------------------------------------------

static size_t meetings;

static void on_met(struct node *node)
{
	meetings++;
}

static int set_up(void **state)
{
	meetings = 0;
	memset(&asked, 0, sizeof asked);
	return fake_node_set_up(state);
}

static int tear_down(void **state)
{
	rendezvous_stop(*state);
	return fake_node_tear_down(state);
}

static void start(struct node *node, const char *job, size_t id)
{
	fake_node_launch(node, job, id);
	rendezvous_start(node, on_met);
}

// Node k offers a second address, 10.1.0.K.
static void offer_another(struct node *node, size_t k)
{
	json_t *peer = json_array_get(node->peers, k);
	autofree char *other = mem_printf("10.1.0.%zu", k);
	json_object_set_new(peer, "addresses", mem_json("[O, s]", json_object_get(peer, "address"), other));
}

static void launch_with_addresses(struct node *node, size_t id)
{
	fake_node_launch(node, three, id);
	for (size_t k = 0; k < node->count; k++)
		offer_another(node, k);
	autojson json_t *peers = json_incref(node->peers);
	rendezvous_set_peers(node, peers);
}

static void start_with_addresses(struct node *node, size_t id)
{
	launch_with_addresses(node, id);
	rendezvous_start(node, on_met);
}

static json_t *brought(const char *machine, size_t ranks)
{
	return mem_json("{s:[], s:s, s:i}", "ports", "machine", machine, "ranks", (int)ranks);
}

static json_t *brought_missing(const char *machine, size_t missed)
{
	return mem_json("{s:[], s:s, s:i, s:[i]}", "ports", "machine", machine, "ranks", 1, "missed", (int)missed);
}

static const char *address_of(const struct node *node, size_t k)
{
	return json_text(json_array_get(node->peers, k), "address");
}

static void check_hostfile(const struct node *node, const char *text)
{
	autofree char *path = fs_join(node->dir, "hosts"), *found_text = fs_read(path, 1 << 16, NULL, NULL);
	assert_string_equal(found_text ? found_text : "(none)", text);
}

// --- all reach each other -----------------------------------------------------------------------

static void test_all_meet(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	assert_int_equal(fake.ntasks, 1);
	assert_int_equal(asked.npeers, 2);
	assert_int_equal(asked.peers[1].node, 1);
	assert_string_equal(asked.peers[1].name, "host-1");
	assert_string_equal(asked.peers[1].address, "10.0.0.1");
	assert_int_equal(asked.peers[1].port, 7001);
	assert_true(asked.peers[1].within == 0 && asked.patience == 0 && !asked.bandwidth);
	assert_int_equal(json_array_size(fake.sent), 0); // nobody is told before it is known
	fake_task_line(0, found(rows_of(reached(1), NULL)));
	assert_int_equal(fake_count_events("preflight"), 1);
	assert_int_equal(fake_count_fences("rendezvous-1"), 1);
	const json_t *brings = fake_fence_data("rendezvous-1");
	assert_string_equal(json_text(brings, "machine"), "machine");
	assert_int_equal(json_int(brings, "ranks"), 2);
	assert_null(json_object_get(brings, "missed"));
	assert_false(fake.tasks[0].ended); // others may still ask
	fake_fence_answer(node, "rendezvous-1", mem_json("[o, o]", brought("a", 2), brought("b", 2)));
	assert_int_equal(meetings, 1);
	assert_true(fake.tasks[0].ended);
	fake_task_exit(0, 0);
	assert_null(fake_failure());
	check_hostfile(node, "10.0.0.0\n10.0.0.1\n");
}

static void test_machines(void **state)
{
	struct node *node = *state;
	start(node, three, 0);
	fake_task_line(0, found(rows_of(reached(1), reached(2))));
	fake_fence_answer(
		node, "rendezvous-1", mem_json("[o, o, o]", brought("a", 1), brought("b", 1), brought("a", 1)));
	assert_int_equal(node->size, 3);
	assert_int_equal(node->machines[0], 0);
	assert_int_equal(node->machines[1], 1);
	assert_int_equal(node->machines[2], 0);
}

static void test_ranks_of_one_node_share_a_machine(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	fake_task_line(0, found(rows_of(reached(1), NULL)));
	fake_fence_answer(node, "rendezvous-1", mem_json("[o, o]", brought("a", 2), brought("b", 2)));
	assert_int_equal(node->size, 4);
	assert_int_equal(node->machines[1], 0);
	assert_int_equal(node->machines[2], 1);
	assert_int_equal(node->machines[3], 1);
}

static void test_containers_share_no_machine(void **state)
{
	struct node *node = *state;
	start(node, "name: t\ncluster: {nodes: 2}\nrun: {command: a, container: {image: i}}\n", 1);
	fake_task_line(0, found(rows_of(reached(0), NULL)));
	assert_string_equal(json_text(fake_fence_data("rendezvous-1"), "machine"), "machine, node 1");
}

static size_t count_open(void)
{
	size_t count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_ports(void **state)
{
	struct node *node = *state;
	size_t before = count_open();
	start(node, torch, 0);
	fake_task_line(0, found(rows_of(reached(1), NULL)));
	const json_t *ports = json_object_get(fake_fence_data("rendezvous-1"), "ports");
	assert_int_equal(json_array_size(ports), 2);
	assert_true(json_integer_value(json_array_get(ports, 1)) > 0);
	assert_false(json_equal(json_array_get(ports, 0), json_array_get(ports, 1)));
	assert_int_equal(count_open(), before + 2);
	fake_fence_answer(
		node, "rendezvous-1", mem_json("[{s:[i, i]}, {s:[i, i]}]", "ports", 9000, 9001, "ports", 9002, 9003));
	assert_int_equal(json_array_size(node->ports), 4);
	assert_int_equal(json_integer_value(json_array_get(node->ports, 2)), 9002); // by rank
	assert_int_equal(count_open(), before + 2);                                 // nobody else may take them
	rendezvous_release(node);
	assert_int_equal(count_open(), before);
}

static void test_without_preflight(void **state)
{
	struct node *node = *state;
	start(node, "name: t\ncluster: {nodes: 2}\npreflight: false\nrun: {command: a}\n", 0);
	assert_int_equal(fake.ntasks, 0);
	fake_fence_answer(node, "rendezvous-1", mem_json("[o, o]", brought("a", 1), brought("b", 1)));
	assert_int_equal(meetings, 1);
}

static void test_another_attempt(void **state)
{
	struct node *node = *state;
	node->attempt = 1;
	start(node, two, 0);
	assert_int_equal(fake.ntasks, 0); // the preflight is not repeated
	fake_fence_answer(node, "rendezvous-1", mem_json("[o, o]", brought("a", 2), brought("b", 2)));
	assert_int_equal(meetings, 0); // of the attempt before
	fake_fence_answer(node, "rendezvous-2", mem_json("[o, o]", brought("a", 2), brought("b", 2)));
	assert_int_equal(meetings, 1);
}

// --- what is wrong --------------------------------------------------------------------------------

static void check_failed(const char *why)
{
	assert_string_equal(fake_failure() ? fake_failure() : "(none)", why);
	assert_int_equal(fake_count_events("fail"), 1);
	assert_int_equal(json_array_size(fake.sent), 0);
	assert_int_equal(meetings, 0);
}

static void test_pair_cannot_talk(void **state)
{
	struct node *node = *state;
	start(node, three, 0);
	fake_task_line(0, found(rows_of(reached(1), not_reached(2, "node 0 cannot reach node 2: refused"))));
	assert_int_equal(fake_count_events("preflight"), 1); // the report shows it
	check_failed("node 0 cannot reach node 2: refused");
	fake_task_exit(0, 0);
}

static void test_clock(void **state)
{
	struct node *node = *state;
	start(node, three, 0);
	json_t *off = reached(1), *slow = reached(2);
	json_object_set_new(off, "offset", json_real(-2.5));
	json_object_set_new(slow, "offset", json_real(0.6)); // no more than the latency explains
	json_object_set_new(slow, "latency", json_real(0.2));
	fake_task_line(0, found(rows_of(off, slow)));
	assert_int_equal(fake_count_events("warn"), 1);
	assert_non_null(strstr(json_text(fake_event("warn"), "why"), "clock of node 1"));
	assert_null(fake_failure());
	assert_int_equal(fake_count_fences("rendezvous-1"), 1);
}

static void test_no_disk(void **state)
{
	struct node *node = *state;
	start(node, two, 1);
	json_t *event = found(rows_of(reached(0), NULL));
	json_object_set_new(event, "disk", json_integer(1000));
	fake_task_line(0, event);
	assert_non_null(strstr(fake_failure() ? fake_failure() : "", "of disk free"));
	assert_int_equal(fake_count_fences("rendezvous-1"), 0);
}

static void test_preflight_cannot_work(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	fake_task_line(0, event_make("fail", "s:s", "why", "no more files"));
	fake_task_exit(0, 1);
	check_failed("no more files");
}

static void test_preflight_dies(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	fake_task_exit(0, 137);
	assert_non_null(strstr(fake_failure() ? fake_failure() : "", "node 0 ended with status 137"));
	assert_int_equal(fake_count_fences("rendezvous-1"), 0);
}

static void test_preflight_cannot_start(void **state)
{
	struct node *node = *state;
	fake.task_error = "no more processes";
	start(node, two, 0);
	check_failed("no more processes");
}

static void test_hostfile_cannot_be_written(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	autofree char *path = fs_join(node->dir, "hosts");
	assert_int_equal(mkdir(path, 0700), 0);
	fake_task_line(0, found(rows_of(reached(1), NULL)));
	fake_fence_answer(node, "rendezvous-1", mem_json("[o, o]", brought("a", 2), brought("b", 2)));
	assert_non_null(fake_failure());
	assert_int_equal(meetings, 0);
}

// --- other addresses ------------------------------------------------------------------------------

// Node 0 does not reach node 1 at its first address, node 2 does.
static void miss(struct node *node)
{
	start_with_addresses(node, 0);
	fake_task_line(0, found(rows_of(not_reached(1, "refused"), reached(2))));
	fake_fence_answer(
		node, "rendezvous-1", mem_json("[o, o, o]", brought_missing("a", 1), brought("b", 1), brought("c", 1)));
}

static void test_second_round(void **state)
{
	struct node *node = *state;
	start_with_addresses(node, 0);
	assert_true(asked.peers[1].within > 0); // there are others to try
	fake_task_line(0, found(rows_of(not_reached(1, "refused"), reached(2))));
	assert_null(fake_failure());
	assert_int_equal(fake_count_events("preflight"), 0); // it is not judged yet
	const json_t *missed = json_object_get(fake_fence_data("rendezvous-1"), "missed");
	assert_int_equal(json_array_size(missed), 1);
	assert_int_equal(json_integer_value(json_array_get(missed, 0)), 1);
	fake_fence_answer(node, "rendezvous-1",
		mem_json("[o, o, o]", brought_missing("a", 1), brought("b", 1), brought_missing("c", 1)));
	assert_int_equal(meetings, 0);
	assert_int_equal(fake.ntasks, 2);
	assert_false(fake.tasks[0].ended); // the others try, too
	assert_int_equal(asked.npeers, 2); // each address of the one in doubt, once
	assert_string_equal(asked.peers[0].name, "10.0.0.1");
	assert_string_equal(asked.peers[1].name, "10.1.0.1");
	assert_int_equal(asked.peers[1].node, 1);
	assert_int_equal(asked.peers[1].port, 7001);
	assert_true(asked.patience > 0);
	fake_task_line(1, found(rows_of(not_reached(1, "refused again"), reached(1))));
	assert_true(fake.tasks[1].ended);
	const json_t *brings = fake_fence_data("addresses-1");
	assert_true(json_equal(json_array_get(json_object_get(json_object_get(brings, "reached"), "1"), 0),
		json_array_get(json_object_get(json_array_get(node->peers, 1), "addresses"), 1)));
	assert_string_equal(json_text(json_object_get(brings, "why"), "1"), "refused again");
	fake_fence_answer(node, "addresses-1",
		mem_json("[{s:{s:[s]}, s:{s:s}}, {}, {s:{s:[s, s]}}]", "reached", "1", "10.1.0.1", "why", "1",
			"refused", "reached", "1", "10.0.0.1", "10.1.0.1"));
	assert_int_equal(meetings, 1);
	assert_null(fake_failure());
	assert_string_equal(address_of(node, 1), "10.1.0.1");
	assert_string_equal(json_text(json_array_get(node->peers, 1), "name"), "10.1.0.1");
	assert_string_equal(address_of(node, 2), "10.0.0.2");
	check_hostfile(node, "10.0.0.0\n10.1.0.1\n10.0.0.2\n");
	assert_int_equal(fake_count_events("address"), 0); // that one says so itself
	const json_t *rows = json_object_get(fake_event("preflight"), "rows");
	assert_int_equal(json_array_size(rows), 2);
	assert_true(json_flag(json_array_get(rows, 0), "ok")); // as it was found at the address that was taken
	assert_true(fake.tasks[0].ended);
}

static void test_node_in_doubt(void **state)
{
	struct node *node = *state;
	start_with_addresses(node, 1);
	fake_task_line(0, found(rows_of(reached(0), reached(2))));
	fake_fence_answer(
		node, "rendezvous-1", mem_json("[o, o, o]", brought_missing("a", 1), brought("b", 1), brought("c", 1)));
	assert_int_equal(fake.ntasks, 1); // it need not reach itself
	assert_int_equal(fake_count_fences("addresses-1"), 1);
	fake_fence_answer(node, "addresses-1",
		mem_json("[{s:{s:[s]}, s:{s:s}}, {}, {s:{s:[s]}}]", "reached", "1", "10.1.0.1", "why", "1", "refused",
			"reached", "1", "10.1.0.1"));
	assert_int_equal(meetings, 1);
	assert_string_equal(node->address, "10.1.0.1");
	const json_t *event = fake_event("address");
	assert_string_equal(json_text(event, "address"), "10.1.0.1");
	assert_string_equal(json_text(event, "instead"), "10.0.0.1");
	assert_string_equal(json_text(event, "why"), "refused");
}

static void test_first_address_works_after_all(void **state)
{
	struct node *node = *state;
	miss(node);
	fake_task_line(1, found(rows_of(reached(1), reached(1))));
	fake_fence_answer(node, "addresses-1",
		mem_json("[{s:{s:[s, s]}}, {}, {s:{s:[s, s]}}]", "reached", "1", "10.0.0.1", "10.1.0.1", "reached", "1",
			"10.0.0.1", "10.1.0.1"));
	assert_int_equal(meetings, 1);
	assert_string_equal(address_of(node, 1), "10.0.0.1");
	assert_string_equal(json_text(json_array_get(node->peers, 1), "name"), "host-1");
	assert_null(fake_failure());
}

static void no_address(struct node *node, const char *name_of_the_fence)
{
	fake_fence_answer(node, name_of_the_fence,
		mem_json("[{s:{s:[]}, s:{s:s}}, {}, {s:{s:[s, s]}}]", "reached", "1", "why", "1", "refused", "reached",
			"1", "10.0.0.1", "10.1.0.1"));
}

static void test_no_address_works(void **state)
{
	struct node *node = *state;
	miss(node);
	fake_task_line(1, found(rows_of(not_reached(1, "refused"), not_reached(1, "silent"))));
	assert_string_equal(json_text(json_object_get(fake_fence_data("addresses-1"), "why"), "1"), "refused");
	no_address(node, "addresses-1");
	assert_string_equal(fake_failure() ? fake_failure() : "(none)",
		"node 0 cannot reach node 1 at any of its 2 addresses: refused");
	assert_int_equal(meetings, 0);
}

static void test_no_address_works_for_others(void **state)
{
	struct node *node = *state;
	start_with_addresses(node, 2);
	fake_task_line(0, found(rows_of(reached(0), reached(1))));
	fake_fence_answer(
		node, "rendezvous-1", mem_json("[o, o, o]", brought_missing("a", 1), brought("b", 1), brought("c", 1)));
	fake_task_line(1, found(rows_of(reached(1), reached(1))));
	no_address(node, "addresses-1");
	assert_null(fake_failure()); // node 0 says so
	assert_int_equal(meetings, 0);
}

// The controller names the first addresses again before each attempt.
static void test_address_holds_for_all_attempts(void **state)
{
	struct node *node = *state;
	test_node_in_doubt(state);
	rendezvous_stop(node);
	start_with_addresses(node, 1);
	assert_string_equal(address_of(node, 1), "10.1.0.1");
	assert_string_equal(node->address, "10.1.0.1");
	fake_fence_answer(
		node, "rendezvous-2", mem_json("[o, o, o]", brought("a", 1), brought("b", 1), brought("c", 1)));
	assert_int_equal(meetings, 2);
	check_hostfile(node, "10.0.0.0\n10.1.0.1\n10.0.0.2\n");
}

// The line was broken, and the controller has not heard yet that the node was launched.
static void test_peers_come_again(void **state)
{
	struct node *node = *state;
	launch_with_addresses(node, 1);
	autojson json_t *first = json_deep_copy(node->peers);
	node->attempt = 0;
	test_node_in_doubt(state);
	rendezvous_set_peers(node, first);
	assert_string_equal(address_of(node, 1), "10.1.0.1");
	assert_string_equal(node->address, "10.1.0.1");
}

static void test_tries_cannot_work(void **state)
{
	struct node *node = *state;
	miss(node);
	fake_task_line(1, event_make("fail", "s:s", "why", "no more files"));
	fake_task_exit(1, 1);
	assert_string_equal(fake_failure() ? fake_failure() : "(none)", "no more files");
	assert_int_equal(fake_count_fences("addresses-1"), 0);
}

// What is not a node's number, and what is said twice.
static void test_strange_doubts(void **state)
{
	struct node *node = *state;
	start_with_addresses(node, 0);
	fake_task_line(0, found(rows_of(reached(1), reached(2))));
	fake_fence_answer(node, "rendezvous-1", mem_json("[{}, {s:[i, i, i]}, n]", "missed", 2, 99, 2));
	assert_int_equal(fake.ntasks, 2);
	assert_int_equal(asked.peers[0].node, 2);
	assert_int_equal(asked.npeers, 2);
	fake_task_line(1, found(rows_of(reached(2), reached(2))));
	fake_fence_answer(node, "addresses-1",
		mem_json("[{s:{s:[s]}}, {s:{s:[s]}}, {}]", "reached", "2", "10.1.0.2", "reached", "2", "10.1.0.2"));
	assert_int_equal(meetings, 1);
	assert_null(fake_failure());
}

// --- the line, and the end ------------------------------------------------------------------------

static void test_answers_that_nobody_waits_for(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	fake_fence_answer(node, "rendezvous-1", mem_json("[{}, {}]")); // before it was asked
	assert_int_equal(meetings, 0);
	fake_task_line(0, found(rows_of(reached(1), NULL)));
	fake_fence_answer(node, "unheard-of", mem_json("[{}, {}]"));
	for (size_t i = 0; i < 2; i++)
		fake_fence_answer(node, "rendezvous-1", mem_json("[o, o]", brought("a", 2), brought("b", 2)));
	assert_int_equal(meetings, 1);
}

static void test_line_breaks(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	node_fence_again(node); // there is nothing to ask
	assert_int_equal(json_array_size(fake.sent), 0);
	fake_task_line(0, found(rows_of(reached(1), NULL)));
	node_fence_again(node);
	assert_int_equal(fake_count_fences("rendezvous-1"), 2);
	assert_true(json_equal(json_array_get(fake.sent, 0), json_array_get(fake.sent, 1)));
	fake_fence_answer(node, "rendezvous-1", mem_json("[o, o]", brought("a", 2), brought("b", 2)));
	node_fence_again(node);
	assert_int_equal(fake_count_fences("rendezvous-1"), 2);
	assert_int_equal(meetings, 1);
}

static void test_stopped_in_the_preflight(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	rendezvous_stop(node);
	assert_true(fake.tasks[0].killed);
	rendezvous_stop(node); // nothing is there
}

static void test_stopped_at_the_fence(void **state)
{
	struct node *node = *state;
	size_t before = count_open();
	start(node, torch, 0);
	fake_task_line(0, found(rows_of(reached(1), NULL)));
	rendezvous_stop(node);
	assert_int_equal(count_open(), before); // its ports are anybody's
	fake_fence_answer(node, "rendezvous-1", mem_json("[o, o]", brought("a", 2), brought("b", 2)));
	assert_int_equal(meetings, 0);
}

static void test_stopped_in_the_second_round(void **state)
{
	struct node *node = *state;
	miss(node);
	rendezvous_stop(node);
	assert_true(fake.tasks[0].killed && fake.tasks[1].killed);
}

static void test_stopped_when_addresses_are_settled(void **state)
{
	struct node *node = *state;
	miss(node);
	fake_task_line(1, found(rows_of(reached(1), reached(1))));
	rendezvous_stop(node);
	no_address(node, "addresses-1");
	assert_null(fake_failure());
	assert_int_equal(meetings, 0);
}

// Something else has failed on this node meanwhile.
static void test_nobody_meets_after_a_failure(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	fake_task_line(0, found(rows_of(reached(1), NULL)));
	node_fail(node, -1, "other");
	fake_fence_answer(node, "rendezvous-1", mem_json("[o, o]", brought("a", 2), brought("b", 2)));
	assert_int_equal(meetings, 0);
}

// --- only the preflight ---------------------------------------------------------------------------

static void test_bandwidth(void **state)
{
	struct node *node = *state;
	node->preflight_only = true;
	start(node, two, 1);
	fake_task_line(0, found(rows_of(reached(0), NULL)));
	fake_fence_answer(node, "rendezvous-1", mem_json("[o, o]", brought("a", 2), brought("b", 2)));
	assert_int_equal(fake_count_fences("turn-0"), 1);
	fake_fence_answer(node, "turn-0", mem_json("[n, n]"));
	assert_int_equal(fake.ntasks, 1); // it is node 0's turn
	assert_int_equal(fake_count_fences("turn-1"), 1);
	fake_fence_answer(node, "turn-1", mem_json("[n, n]"));
	assert_int_equal(fake.ntasks, 2);
	assert_true(asked.bandwidth);
	assert_int_equal(fake_count_fences("turn-2"), 0);
	fake_task_line(1, found(rows_of(reached(0), NULL)));
	assert_true(fake.tasks[1].ended);
	assert_int_equal(fake_count_events("preflight"), 2);
	assert_int_equal(fake_count_fences("turn-2"), 1);
	assert_int_equal(meetings, 0);
	assert_false(fake.tasks[0].ended);
	fake_fence_answer(node, "turn-2", mem_json("[n, n]"));
	assert_int_equal(meetings, 1);
	assert_true(fake.tasks[0].ended);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_meet),
		TEST(test_machines),
		TEST(test_ranks_of_one_node_share_a_machine),
		TEST(test_containers_share_no_machine),
		TEST(test_ports),
		TEST(test_without_preflight),
		TEST(test_another_attempt),
		TEST(test_pair_cannot_talk),
		TEST(test_clock),
		TEST(test_no_disk),
		TEST(test_preflight_cannot_work),
		TEST(test_preflight_dies),
		TEST(test_preflight_cannot_start),
		TEST(test_hostfile_cannot_be_written),
		TEST(test_second_round),
		TEST(test_node_in_doubt),
		TEST(test_first_address_works_after_all),
		TEST(test_no_address_works),
		TEST(test_no_address_works_for_others),
		TEST(test_address_holds_for_all_attempts),
		TEST(test_peers_come_again),
		TEST(test_tries_cannot_work),
		TEST(test_strange_doubts),
		TEST(test_answers_that_nobody_waits_for),
		TEST(test_line_breaks),
		TEST(test_stopped_in_the_preflight),
		TEST(test_stopped_at_the_fence),
		TEST(test_stopped_in_the_second_round),
		TEST(test_stopped_when_addresses_are_settled),
		TEST(test_nobody_meets_after_a_failure),
		TEST(test_bandwidth),
	};
	return cmocka_run_group_tests_name("rendezvous", tests, NULL, NULL);
}
