#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/preflight.h"
#include "wire/event.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NODES = 4 };

static int listen_on(int *port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(fd, 256), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static int dial(int port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

// N nodes, each preflight in its own child; a node without one is a listener (or a closed port) of the test.
struct world {
	struct preflight_peer peers[NODES];
	int listeners[NODES], controls[NODES], outs[NODES];
	pid_t pids[NODES];
	bool bandwidth;
	double deadline, patience;
};

static void init(struct world *w)
{
	*w = (struct world){.deadline = 10};
	for (size_t k = 0; k < NODES; k++) {
		w->peers[k] = (struct preflight_peer){.node = k, .name = "127.0.0.1", .address = "127.0.0.1"};
		w->listeners[k] = listen_on(&w->peers[k].port);
		w->controls[k] = w->outs[k] = -1;
	}
}

static void start(struct world *w, size_t k, const char *nonce)
{
	int control[2], out[2];
	assert_int_equal(pipe(control), 0);
	assert_int_equal(pipe(out), 0);
	w->pids[k] = fork();
	assert_true(w->pids[k] >= 0);
	if (w->pids[k] == 0) {
		for (size_t i = 0; i < NODES; i++) {
			if (i != k && w->listeners[i] >= 0)
				close(w->listeners[i]);
			if (w->controls[i] >= 0)
				close(w->controls[i]);
		}
		close(control[1]);
		struct preflight_options o = {
			.node = k,
			.listener = w->listeners[k],
			.peers = w->peers,
			.npeers = NODES,
			.nonce = nonce,
			.dir = "/",
			.bandwidth = w->bandwidth,
			.deadline = w->deadline,
			.patience = w->patience,
			.control = control[0],
			.out = out[1],
		};
		_exit(preflight_run(&o, NULL) == 0 ? 0 : 1);
	}
	close(control[0]);
	close(out[1]);
	w->controls[k] = control[1];
	w->outs[k] = out[0];
}

static json_t *result(struct world *w, size_t k)
{
	autostr struct str line = {0};
	char bytes[4096];
	ssize_t got;
	while ((!line.len || line.text[line.len - 1] != '\n') && (got = read(w->outs[k], bytes, sizeof bytes)) > 0)
		str_add(&line, bytes, (size_t)got);
	struct error err;
	json_t *event = event_parse(line.text ? line.text : "", line.len, &err);
	assert_non_null(event);
	assert_true(event_is(event, "preflight"));
	assert_int_equal(json_integer_value(json_object_get(event, "node")), k);
	return event;
}

// The row about node `to`, borrowed.
static json_t *row_of(const json_t *event, size_t to)
{
	size_t i;
	json_t *row;
	json_array_foreach (json_object_get(event, "rows"), i, row)
		if ((size_t)json_integer_value(json_object_get(row, "to")) == to)
			return row;
	return NULL;
}

static double number(const json_t *row, const char *name)
{
	assert_true(json_is_number(json_object_get(row, name)));
	return json_number_value(json_object_get(row, name));
}

static void assert_why(const json_t *row, const char *want)
{
	assert_false(json_is_true(json_object_get(row, "ok")));
	const char *why = json_string_value(json_object_get(row, "why"));
	assert_non_null(why);
	if (!strstr(why, want))
		fail_msg("'%s' does not say '%s'", why, want);
	assert_null(json_object_get(row, "latency"));
	assert_true(number(row, "port") > 0);
	assert_true(json_is_string(json_object_get(row, "name")) && json_is_string(json_object_get(row, "address")));
}

static void stop(struct world *w)
{
	for (size_t k = 0; k < NODES; k++) {
		if (w->controls[k] >= 0)
			close(w->controls[k]);
		if (w->outs[k] >= 0)
			close(w->outs[k]);
		if (w->listeners[k] >= 0)
			close(w->listeners[k]);
	}
	for (size_t k = 0; k < NODES; k++) {
		int status = 0;
		if (w->pids[k] > 0)
			waitpid(w->pids[k], &status, 0);
		assert_int_equal(status, 0);
	}
}

static void every_node_reaches_every_other(void **state)
{
	struct world w;
	init(&w);
	for (size_t k = 0; k < NODES; k++)
		start(&w, k, "nonce");
	for (size_t k = 0; k < NODES; k++) {
		autojson json_t *event = result(&w, k);
		assert_int_equal(json_array_size(json_object_get(event, "rows")), NODES - 1);
		assert_true(number(event, "disk") > 0);
		assert_true(number(event, "memory") > 0);
		for (size_t to = 0; to < NODES; to++) {
			json_t *row = row_of(event, to);
			if (to == k) {
				assert_null(row);
				continue;
			}
			assert_true(json_is_true(json_object_get(row, "ok")));
			assert_true(number(row, "latency") > 0 && number(row, "latency") < 5);
			assert_true(number(row, "offset") > -5 && number(row, "offset") < 5);
			assert_null(json_object_get(row, "bandwidth"));
			assert_null(json_object_get(row, "why"));
		}
	}
	stop(&w);
}

static void bandwidth_is_measured_when_asked_for(void **state)
{
	struct world w;
	init(&w);
	start(&w, 1, "nonce");
	start(&w, 2, "nonce");
	start(&w, 3, "nonce");
	w.bandwidth = true;
	start(&w, 0, "nonce");
	autojson json_t *event = result(&w, 0);
	for (size_t to = 1; to < NODES; to++)
		assert_true(number(row_of(event, to), "bandwidth") > 1e6);
	stop(&w);
}

static void who_cannot_be_reached_is_named(void **state)
{
	struct world w;
	init(&w);
	close(w.listeners[1]);
	w.listeners[1] = -1;
	w.peers[1].name = "localhost";
	w.peers[2].name = "no..name";      // fails without asking a name server
	w.peers[3].port = w.peers[0].port; // leads back to node 0
	start(&w, 0, "nonce");
	autojson json_t *event = result(&w, 0);
	autofree char *refused = mem_printf(
		"node 0 cannot reach node 1 at 127.0.0.1:%d (name localhost): Connection refused", w.peers[1].port);
	assert_why(row_of(event, 1), refused);
	assert_why(row_of(event, 2), "(name no..name): its name cannot be resolved");
	assert_why(row_of(event, 3), "node 0 answers there");
	stop(&w);
}

static void strangers_are_told_apart(void **state)
{
	struct world w;
	init(&w);
	w.deadline = 1;
	start(&w, 1, "another nonce");
	pid_t echo = fork();
	if (echo == 0) { // says back to everyone the first it hears
		char bytes[256];
		for (int fd; (fd = accept(w.listeners[2], NULL, NULL)) >= 0;) {
			ssize_t got = read(fd, bytes, sizeof bytes);
			if (got > 0 && write(fd, bytes, (size_t)got) < 0)
				_exit(1);
		}
		_exit(0);
	}
	double before = clock_mono();
	start(&w, 0, "nonce"); // and node 3 only listens
	autojson json_t *event = result(&w, 0);
	assert_true(clock_mono() - before < 5);
	assert_why(row_of(event, 1), "it accepts the connection and closes it without an answer");
	assert_why(row_of(event, 2), "a program that is not part of this run answers there");
	assert_why(row_of(event, 3), "it accepts the connection but does not answer within 1 s");
	kill(echo, SIGKILL);
	waitpid(echo, NULL, 0);
	stop(&w);
}

static void garbage_has_no_effect(void **state)
{
	struct world w;
	init(&w);
	start(&w, 1, "nonce");
	int noise[120];
	for (size_t i = 0; i < countof(noise); i++) {
		noise[i] = dial(w.peers[1].port);
		char bytes[100];
		memset(bytes, (int)i, sizeof bytes);
		if (i % 3 == 0) // the others are silent, or stop in the middle
			assert_int_equal(write(noise[i], bytes, sizeof bytes), sizeof bytes);
		else if (i % 3 == 1)
			assert_int_equal(write(noise[i], bytes, 10), 10);
	}
	char byte;
	assert_true(read(noise[0], &byte, 1) <= 0);
	assert_true(read(noise[1], &byte, 1) <= 0); // the oldest strangers make room
	for (size_t k = 0; k < NODES; k++)
		if (k != 1)
			start(&w, k, "nonce");
	for (size_t k = 0; k < NODES; k++) {
		autojson json_t *event = result(&w, k);
		for (size_t to = 0; to < NODES; to++)
			assert_true(to == k || json_is_true(json_object_get(row_of(event, to), "ok")));
	}
	for (size_t i = 0; i < countof(noise); i++)
		close(noise[i]);
	stop(&w);
}

// A node that is tried at several addresses, of which one answers, is not waited for at the others until the deadline.
static void other_addresses_are_not_waited_for(void **state)
{
	struct world w;
	init(&w);
	w.deadline = 60;
	w.patience = 0.3;
	w.peers[3] = w.peers[2]; // the same node, by a listener that does not answer
	w.peers[3].port = 0;
	close(w.listeners[3]);
	w.listeners[3] = listen_on(&w.peers[3].port);
	w.peers[1].within = 0.3; // this one has less time from the beginning
	for (size_t k = 0; k < 3; k += 2)
		start(&w, k, "nonce");
	double begin = clock_mono();
	autojson json_t *event = result(&w, 0);
	assert_true(clock_mono() - begin < 20);
	const json_t *rows = json_object_get(event, "rows");
	assert_int_equal(json_array_size(rows), 3);
	assert_why(json_array_get(rows, 0), "does not answer within 0.3 s");
	assert_true(json_is_true(json_object_get(json_array_get(rows, 1), "ok")));
	assert_why(json_array_get(rows, 2), "it accepts the connection but does not answer within");
	stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_addresses_are_not_waited_for),
		cmocka_unit_test(every_node_reaches_every_other),
		cmocka_unit_test(bandwidth_is_measured_when_asked_for),
		cmocka_unit_test(who_cannot_be_reached_is_named),
		cmocka_unit_test(strangers_are_told_apart),
		cmocka_unit_test(garbage_has_no_effect),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
