#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "exec/tunnel.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { TOTAL = 3 * 1000 * 1000 };

// Nodes whose far ends are played by the test, and a port that stands for the controller.
struct world {
	struct tunnels *t;
	atomic_int far[4]; // of each node, -1 before it is opened
	atomic_size_t opened[4], closed[4];
	bool ready[4];       // once, and then it is opened again
	atomic_int reach[4]; // of the last one that was closed
	atomic_bool refuse;  // open fails
	atomic_bool slow;    // open and closed do not return before it is false
	atomic_bool final;   // closed says that it is not to be opened again
	atomic_size_t slow_calls;
	int listener;
	char *url;
	pthread_mutex_t lock;
};

// As for an engine that takes its time to answer.
static void take_time(struct world *w)
{
	w->slow_calls += w->slow;
	for (double end = clock_mono() + 10; w->slow && clock_mono() < end; poll(NULL, 0, 1))
		;
}

static int open_far(size_t node, void *data, struct error *err)
{
	struct world *w = data;
	int ends[2];
	take_time(w);
	if (w->refuse)
		return error_set(err, ERROR_SYSTEM, "no way to node %zu", node);
	socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
	pthread_mutex_lock(&w->lock);
	w->opened[node]++;
	w->far[node] = ends[0];
	pthread_mutex_unlock(&w->lock);
	return ends[1];
}

static const void *answer(size_t node, const char *line, size_t *len, void *data)
{
	static const char bytes[] = "here it is\n";
	*len = strlen(bytes);
	return strcmp(line, "need it") ? NULL : bytes;
}

static bool closed(size_t node, enum tunnel_reach reach, struct error *err, void *data)
{
	struct world *w = data;
	take_time(w);
	w->closed[node]++;
	w->reach[node] = reach;
	w->ready[node] = w->ready[node] || reach == TUNNEL_READY || reach == TUNNEL_CUT;
	return w->ready[node] && !w->final;
}

static const struct tunnel_ops ops = {.open = open_far, .answer = answer, .closed = closed};

static int set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);
	pthread_mutex_init(&w->lock, NULL);
	for (size_t i = 0; i < countof(w->far); i++)
		w->far[i] = -1;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	w->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(w->listener, (struct sockaddr *)&a, sizeof a) | listen(w->listener, 8), 0);
	getsockname(w->listener, (struct sockaddr *)&a, &len);
	w->url = mem_printf("wss://127.0.0.1:%d", ntohs(a.sin_port));
	struct tunnel_options options = {.url = w->url, .count = 4, .at_once = 2, .ops = &ops, .data = w};
	w->t = tunnel_start(&options, NULL);
	assert_non_null(w->t);
	*state = w;
	return 0;
}

// The same, but a bridge that does not answer within moments is given up.
static int set_up_hasty(void **state)
{
	set_up(state);
	struct world *w = *state;
	struct tunnel_options options = {
		.url = w->url, .count = 4, .at_once = 2, .within = 0.1, .ops = &ops, .data = w};
	tunnel_stop(w->t, 0);
	w->t = tunnel_start(&options, NULL);
	return w->t ? 0 : -1;
}

// The same, but one that was ready has time before it is opened again.
static int set_up_calm(void **state)
{
	set_up(state);
	struct world *w = *state;
	struct tunnel_options options = {
		.url = w->url, .count = 4, .at_once = 2, .breath = 0.5, .ops = &ops, .data = w};
	tunnel_stop(w->t, 0);
	w->t = tunnel_start(&options, NULL);
	return w->t ? 0 : -1;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	tunnel_stop(w->t, 0);
	for (size_t i = 0; i < countof(w->far); i++)
		if (w->far[i] >= 0)
			close(w->far[i]);
	close(w->listener);
	free(w->url);
	free(w);
	return 0;
}

static json_t *config(int node)
{
	return mem_json("{s:i}", "node", node);
}

// The far end of the newest stream to a node. Fails the test when there is none in time.
static int far_of(struct world *w, size_t node, size_t opened)
{
	for (double end = clock_mono() + 10; clock_mono() < end; poll(NULL, 0, 1)) {
		pthread_mutex_lock(&w->lock);
		int fd = w->opened[node] >= opened ? w->far[node] : -1;
		pthread_mutex_unlock(&w->lock);
		if (fd >= 0)
			return fd;
	}
	fail_msg("node %zu was not opened", node);
	return -1;
}

static void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static json_t *get_config(int fd)
{
	put(fd, "welcome to this machine\nno end of line\nmuster-bridge config\n");
	char line[256] = "";
	for (size_t at = 0; !strchr(line, '\n'); at++)
		assert_int_equal(read(fd, line + at, 1), 1);
	return json_loads(line, 0, NULL);
}

static void be_ready(int fd, bool again)
{
	autojson json_t *got = get_config(fd);
	assert_int_equal(json_is_true(json_object_get(got, "again")), again);
	put(fd, "muster-bridge ready\n");
}

static void ends(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	char byte;
	assert_int_equal(poll(&wait, 1, 10000), 1);
	assert_true(read(fd, &byte, 1) <= 0);
}

static void speaks_before_it_carries(void **state)
{
	struct world *w = *state;
	tunnel_open(w->t, 1, config(1));
	int fd = far_of(w, 1, 1);
	put(fd, "need it\n");
	char text[32] = "";
	assert_int_equal(read(fd, text, sizeof text), 11);
	assert_string_equal(text, "here it is\n");
	be_ready(fd, false);
	size_t node = 9;
	assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, NULL), 0);
	// Nobody has spoken: the controller hears nothing yet.
	struct pollfd wait = {.fd = w->listener, .events = POLLIN};
	assert_int_equal(poll(&wait, 1, 0), 0);
	put(fd, "hello");
	int line = accept(w->listener, NULL, NULL);
	char got[16] = "";
	assert_int_equal(read(line, got, sizeof got), 5);
	assert_string_equal(got, "hello");
	put(line, "refused");
	close(line);
	memset(got, 0, sizeof got);
	assert_int_equal(read(fd, got, sizeof got), 7);
	assert_string_equal(got, "refused");
	ends(fd);
}

struct flood {
	int fd;
	bool sends;
	uint64_t sum;
	size_t bytes;
};

static void *pump(void *data)
{
	struct flood *f = data;
	unsigned char bytes[10000];
	while (f->bytes < TOTAL) {
		if (f->sends)
			for (size_t i = 0; i < sizeof bytes; i++)
				bytes[i] = (unsigned char)((f->bytes + i) * 2654435761u >> 13);
		ssize_t n = f->sends ? write(f->fd, bytes, sizeof bytes) : read(f->fd, bytes, sizeof bytes);
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			f->sum = f->sum * 31 + bytes[i];
		f->bytes += (size_t)n;
	}
	return NULL;
}

static void carries_all_both_ways(void **state)
{
	struct world *w = *state;
	tunnel_open(w->t, 0, config(0));
	int fd = far_of(w, 0, 1);
	autojson json_t *got = get_config(fd);
	put(fd, "muster-bridge ready\nfirst"); // bytes may come with the word
	int line = accept(w->listener, NULL, NULL);
	char first[5];
	assert_int_equal(recv(line, first, 5, MSG_WAITALL), 5);
	struct flood floods[] = {{fd, true, 0, 0}, {line, false, 0, 0}, {line, true, 0, 0}, {fd, false, 0, 0}};
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, pump, &floods[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 4; i += 2) {
		assert_true(floods[i + 1].bytes == TOTAL);
		assert_true(floods[i].sum == floods[i + 1].sum);
	}
	// What was sent before the end arrives before it.
	put(fd, "last");
	shutdown(fd, SHUT_RDWR);
	char last[8] = "";
	assert_int_equal(recv(line, last, 4, MSG_WAITALL), 4);
	assert_string_equal(last, "last");
	ends(line);
	close(line);
}

static void comes_back(void **state)
{
	struct world *w = *state;
	tunnel_open(w->t, 2, config(2));
	for (size_t i = 1; i <= 3; i++) {
		int fd = far_of(w, 2, i);
		be_ready(fd, i > 1);
		put(fd, "x");
		int line = accept(w->listener, NULL, NULL);
		char byte;
		assert_int_equal(read(line, &byte, 1), 1);
		w->far[2] = -1;
		close(fd);
		ends(line);
		close(line);
	}
	// Its bridge knows better.
	int fd = far_of(w, 2, 4);
	autojson json_t *got = get_config(fd);
	put(fd, "muster-bridge gone the agent has ended\n");
	close(fd);
	w->far[2] = -1;
	size_t node = 0;
	struct error err = {0};
	for (int i = 0; i < 1000 && tunnel_wait(w->t, 10, NULL, &node, &err) == 0; i++)
		usleep(10000); // it was ready before, and counts as that until the word has come
	assert_int_equal(node, 2);
	assert_string_equal(err.text, "the agent has ended");
	assert_int_equal(w->opened[2], 4);
	assert_int_equal(w->closed[2], 4);
}

// Who ends its line for good is not started once more before anybody can know.
static void comes_back_after_a_breath(void **state)
{
	struct world *w = *state;
	tunnel_open(w->t, 2, config(2));
	int fd = far_of(w, 2, 1);
	be_ready(fd, false);
	put(fd, "x");
	int line = accept(w->listener, NULL, NULL);
	w->far[2] = -1;
	double since = clock_mono();
	close(fd);
	close(line);
	far_of(w, 2, 2);
	assert_true(clock_mono() - since >= 0.25);
}

static void says_which_node_fails_and_why(void **state)
{
	struct world *w = *state;
	tunnel_open(w->t, 0, config(0));
	tunnel_open(w->t, 1, config(1));
	be_ready(far_of(w, 0, 1), false);
	int fd = far_of(w, 1, 1);
	put(fd, "sh: muster-agent: not found");
	close(fd);
	w->far[1] = -1;
	size_t node = 0;
	struct error err = {0};
	assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, &err), -1);
	assert_int_equal(node, 1);
	assert_string_equal(err.text, "sh: muster-agent: not found");
	// It may be opened anew.
	w->refuse = true;
	tunnel_open(w->t, 1, config(1));
	assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, &err), -1);
	assert_string_equal(err.text, "no way to node 1");
}

// A node that is asked for while its stream is away may get another agent; one that nobody wants did not arrive back.
// The controller hangs up because it has heard nothing: so does whoever is there at the other end, and who is out of
// reach does not.
static void tells_who_is_out_of_reach(void **state)
{
	struct world *w = *state;
	for (size_t node = 0; node < 2; node++) {
		tunnel_open(w->t, node, config((int)node));
		int fd = far_of(w, node, 1);
		be_ready(fd, false);
		put(fd, "hello");
		int line = accept(w->listener, NULL, NULL);
		char got[16];
		assert_int_equal(read(line, got, sizeof got), 5);
		close(line);
		ends(fd); // told so; this is the moment
		if (node == 0)
			shutdown(fd, SHUT_RDWR);
		far_of(w, node, 2);
		assert_int_equal(w->reach[node], node == 0 ? TUNNEL_READY : TUNNEL_CUT);
		close(fd);
	}
}

static void begins_anew_or_stays_away(void **state)
{
	struct world *w = *state;
	size_t node = 0;
	struct error err = {0};
	for (size_t i = 0; i < 2; i++) {
		tunnel_open(w->t, i, config((int)i));
		be_ready(far_of(w, i, 1), false);
	}
	assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, &err), 0);
	w->refuse = true;
	assert_false(tunnel_close(w->t, 1, 0.01));
	for (size_t i = 0; i < 2; i++) {
		close(w->far[i]);
		w->far[i] = -1;
	}
	for (double end = clock_mono() + 10; w->closed[0] < 2 || w->closed[1] < 1;
		poll(NULL, 0, 1)) // node 0 was tried again, and refused
		assert_true(clock_mono() < end);
	assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, &err), 0);
	w->refuse = false;
	assert_true(tunnel_close(w->t, 1, 10));
	tunnel_open(w->t, 0, config(0));
	be_ready(far_of(w, 0, 2), false);
	assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, &err), 0);
	assert_int_equal(w->opened[1], 1);
}

static void no_more_at_once_than_asked(void **state)
{
	struct world *w = *state;
	for (int i = 0; i < 4; i++)
		tunnel_open(w->t, (size_t)i, config(i));
	int first = far_of(w, 0, 1);
	far_of(w, 1, 1);
	size_t node = 0;
	atomic_bool cancelled = true;
	struct error err = {0};
	assert_int_equal(tunnel_wait(w->t, 0.05, NULL, &node, &err), -1);
	assert_non_null(strstr(err.text, "no agent in time"));
	assert_int_equal(w->opened[2] + w->opened[3], 0);
	be_ready(first, false);
	far_of(w, 2, 1);
	assert_int_equal(w->opened[3], 0);
	assert_int_equal(tunnel_wait(w->t, 10, &cancelled, &node, &err), -1);
	assert_int_equal(err.code, ERROR_CANCELLED);
	assert_int_equal(node, 4);
}

static void noise_has_an_end(void **state)
{
	struct world *w = *state;
	tunnel_open(w->t, 3, config(3));
	int fd = far_of(w, 3, 1);
	char noise[1000];
	memset(noise, 'x', sizeof noise);
	while (send(fd, noise, sizeof noise, MSG_NOSIGNAL) > 0)
		;
	size_t node = 0;
	struct error err = {0};
	assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, &err), -1);
	assert_non_null(strstr(err.text, "64 KiB"));
}

static void wait_for_slow_call(struct world *w, size_t count)
{
	for (double end = clock_mono() + 10; w->slow_calls < count; poll(NULL, 0, 1))
		assert_true(clock_mono() < end);
}

// While the executor waits for something, whoever opens and closes tunnels does not.
static void a_slow_executor_holds_up_nobody(void **state)
{
	struct world *w = *state;
	size_t node = 0;
	struct error err = {0};
	tunnel_open(w->t, 0, config(0));
	be_ready(far_of(w, 0, 1), false);
	assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, &err), 0);
	w->slow = true;
	tunnel_open(w->t, 1, config(1));
	wait_for_slow_call(w, 1);
	tunnel_open(w->t, 2, config(2));
	assert_false(tunnel_close(w->t, 1, 0));
	assert_true(w->slow && w->opened[1] == 0); // it still waits
	w->slow = false;
	far_of(w, 1, 1);
	far_of(w, 2, 1);
	w->slow = true;
	close(w->far[0]);
	w->far[0] = -1;
	wait_for_slow_call(w, 2);
	tunnel_open(w->t, 3, config(3));
	assert_false(tunnel_close(w->t, 0, 0));
	assert_int_equal(w->closed[0], 0);
	w->slow = false;
	assert_true(tunnel_close(w->t, 0, 10));
}

// Its agent has ended for good; whoever asks for it while the executor tidies up gets another.
static void asked_for_while_it_is_closed(void **state)
{
	struct world *w = *state;
	size_t node = 0;
	struct error err = {0};
	tunnel_open(w->t, 0, config(0));
	be_ready(far_of(w, 0, 1), false);
	assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, &err), 0);
	w->slow = w->final = true;
	close(w->far[0]);
	w->far[0] = -1;
	wait_for_slow_call(w, 1);
	tunnel_open(w->t, 0, config(7));
	assert_int_equal(tunnel_wait(w->t, 0.01, NULL, &node, &err), -1);
	assert_int_equal(node, 0);
	w->slow = false;
	int fd = far_of(w, 0, 2);
	autojson json_t *got = get_config(fd);
	assert_int_equal(json_integer_value(json_object_get(got, "node")), 7);
	assert_null(json_object_get(got, "again"));
	assert_int_equal(tunnel_wait(w->t, 0.01, NULL, &node, &err), -1);
	put(fd, "muster-bridge ready\n");
	assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, &err), 0);
	// Not when it is let go again before the executor is done.
	w->slow = true;
	close(fd);
	w->far[0] = -1;
	wait_for_slow_call(w, 2);
	tunnel_open(w->t, 0, config(8));
	assert_false(tunnel_close(w->t, 0, 0));
	w->slow = false;
	assert_true(tunnel_close(w->t, 0, 10));
	assert_int_equal(w->opened[0], 2);
}

// The agent dials for itself: the tunnel is through when its bridge is ready, and stays so.
static void a_direct_one_is_done_when_ready(void **state)
{
	struct world *w = *state;
	size_t node = 0;
	struct error err = {0};
	for (size_t i = 1; i <= 2; i++) {
		tunnel_open(w->t, 0, mem_json("{s:i, s:b}", "node", 0, "direct", 1));
		be_ready(far_of(w, 0, i), false);
		ends(w->far[0]);
		close(w->far[0]);
		w->far[0] = -1;
		for (double end = clock_mono() + 10; w->closed[0] < i; poll(NULL, 0, 1))
			assert_true(clock_mono() < end);
		assert_int_equal(w->reach[0], TUNNEL_READY);
		assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, &err), 0);
	}
	assert_true(tunnel_close(w->t, 0, 0)); // it is closed, not about to be opened again
	assert_int_equal(w->opened[0], 2);
	// One that fails is like any other.
	tunnel_open(w->t, 1, mem_json("{s:i, s:b}", "node", 1, "direct", 1));
	int fd = far_of(w, 1, 1);
	autojson json_t *got = get_config(fd);
	put(fd, "muster-bridge gone no space\nstatus 11\n");
	close(fd);
	w->far[1] = -1;
	assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, &err), -1);
	assert_string_equal(err.text, "no space"); // and not what came after it
}

static void one_that_does_not_answer_is_given_up(void **state)
{
	struct world *w = *state;
	tunnel_open(w->t, 0, config(0));
	int fd = far_of(w, 0, 1);
	put(fd, "on my way\n");
	ends(fd);
	size_t node = 9;
	struct error err = {0};
	assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, &err), -1);
	assert_int_equal(node, 0);
	assert_string_equal(err.text, "on my way");
	tunnel_open(w->t, 0, config(0));
	assert_int_equal(tunnel_wait(w->t, 10, NULL, &node, &err), -1);
	assert_string_equal(err.text, "no answer from the node within 0.1 s");
}

#define each(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(speaks_before_it_carries),
		each(carries_all_both_ways),
		each(comes_back),
		each(says_which_node_fails_and_why),
		each(tells_who_is_out_of_reach),
		each(begins_anew_or_stays_away),
		each(no_more_at_once_than_asked),
		each(noise_has_an_end),
		each(a_slow_executor_holds_up_nobody),
		each(asked_for_while_it_is_closed),
		each(a_direct_one_is_done_when_ready),
		cmocka_unit_test_setup_teardown(comes_back_after_a_breath, set_up_calm, tear_down),
		cmocka_unit_test_setup_teardown(one_that_does_not_answer_is_given_up, set_up_hasty, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
