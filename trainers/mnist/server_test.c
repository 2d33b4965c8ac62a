// Servers and workers talk to each other here without a network: every frame goes through a queue from which any pair's
// next frame may be taken, and processes are killed and started again at any moment.
#include "common/mem.h"
#include "common/rng.h"
#include "common/testing.h"
#include "mnist/kernel.h"
#include "mnist/net.h"
#include "mnist/server.h"
#include "mnist/worker.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX 4
#define BATCH 3
#define QUEUE 4096
#define MAR80 65536

struct letter {
	int to_server;
	uint32_t server, worker;
	uint64_t incarnation; // of the worker
	struct packet *packet;
};

struct sim {
	struct job job;
	const char *dir;
	struct rng rng;
	double clock;
	struct letter queue[QUEUE];
	size_t queued;
	struct server *servers[MAX];
	struct state states[MAX];
	struct worker *workers[MAX];
	struct net *nets[MAX];
	uint64_t incarnation[MAX], joined[MAX];
	int left[MAX]; // the worker has said goodbye and gone
	struct end {
		struct sim *sim;
		uint32_t index;
	} server_ends[MAX], worker_ends[MAX];
	uint64_t marks[MAX][MAR80]; // of each shard: which gradients changed it
	size_t marked[MAX];
	char said[8000];
};

// ---- the world

static void post(struct sim *s, struct letter letter)
{
	assert_true(s->queued < QUEUE);
	s->queue[s->queued++] = letter;
}

static void server_sends(void *arg, const struct server_peer *to, struct packet *packet)
{
	struct end *end = arg;
	struct letter letter = {.server = end->index, .packet = packet};
	memcpy(&letter.worker, to->name, 4);
	memcpy(&letter.incarnation, to->name + 4, 8);
	post(end->sim, letter);
}

static void worker_sends(void *arg, uint32_t shard, struct packet *packet)
{
	struct end *end = arg;
	post(end->sim, (struct letter){1, shard, end->index, end->sim->incarnation[end->index], packet});
}

static void says(void *arg, const char *text)
{
	struct end *end = arg;
	size_t at = strlen(end->sim->said);
	snprintf(end->sim->said + at, sizeof end->sim->said - at, "%s\n", text);
}

static void start_server(struct sim *s, uint32_t i)
{
	state_open(&s->states[i], s->dir, i);
	s->servers[i] = server_new(i, s->job.servers, s->job.workers, &s->states[i], 1000 + rng_below(&s->rng, 1000),
		(struct server_world){&s->server_ends[i], server_sends, says});
}

static void kill_server(struct sim *s, uint32_t i)
{
	server_free(s->servers[i]);
	state_close(&s->states[i]);
	size_t kept = 0;
	for (size_t k = 0; k < s->queued; k++) // its connections, and what was on its way there
		if (s->queue[k].server == i)
			packet_drop(s->queue[k].packet);
		else
			s->queue[kept++] = s->queue[k];
	s->queued = kept;
}

static void start_worker(struct sim *s, uint32_t i)
{
	s->incarnation[i]++;
	s->left[i] = 0;
	s->joined[i] = UINT64_MAX;
	s->workers[i] = worker_new(
		&s->job, i, s->incarnation[i], (struct worker_world){&s->worker_ends[i], worker_sends, says}, s->clock);
}

// What it has sent may still come, what was sent to it is lost.
static void kill_worker(struct sim *s, uint32_t i)
{
	worker_free(s->workers[i]);
	s->workers[i] = NULL;
	size_t kept = 0;
	for (size_t k = 0; k < s->queued; k++)
		if (s->queue[k].worker == i && (!s->queue[k].to_server || rng_below(&s->rng, 2)))
			packet_drop(s->queue[k].packet);
		else
			s->queue[kept++] = s->queue[k];
	s->queued = kept;
}

static struct sim *sim_new(struct job job, const char *dir, uint64_t seed)
{
	struct sim *s = mem_new(1, sizeof *s);
	s->job = job;
	s->dir = dir;
	s->clock = 1;
	rng_init(&s->rng, seed, 0, 0);
	for (uint32_t i = 0; i < MAX; i++)
		s->server_ends[i] = s->worker_ends[i] = (struct end){s, i};
	for (uint32_t i = 0; i < job.servers; i++)
		start_server(s, i);
	for (uint32_t i = 0; i < job.workers; i++) {
		s->nets[i] = net_new(job.hidden, BATCH);
		start_worker(s, i);
	}
	return s;
}

static void sim_free(struct sim *s)
{
	for (uint32_t i = 0; i < s->job.workers; i++) {
		net_free(s->nets[i]);
		worker_free(s->workers[i]);
	}
	for (uint32_t i = 0; i < s->job.servers; i++) {
		if (server_over(s->servers[i]))
			state_remove(&s->states[i]);
		kill_server(s, i);
	}
	free(s);
}

// ---- what they do

// Image NUMBER of an endless set: classes that can be told apart.
static void draw(uint64_t number, uint8_t pixels[NET_PIXELS], uint8_t *label)
{
	struct rng rng;
	rng_init(&rng, 77, 0, number);
	*label = (uint8_t)(number % NET_CLASSES);
	for (size_t k = 0; k < NET_PIXELS; k++)
		pixels[k] = (uint8_t)(k % 11 == *label ? 200 + rng_below(&rng, 50) : k < 300 ? 0 : rng_below(&rng, 60));
}

static void load(struct net *net, size_t batch, uint64_t number, uint32_t index, uint32_t workers)
{
	uint8_t pixels[BATCH * MAX][NET_PIXELS], labels[BATCH * MAX];
	const uint8_t *images[BATCH * MAX];
	for (size_t b = 0; b < batch; b++) {
		images[b] = pixels[b];
		draw((number * batch + b) * workers + index, pixels[b], &labels[b]);
	}
	net_load(net, images, labels);
}

static int has_row(const void *net, size_t row)
{
	return net_has_row(net, row);
}

static void compute(struct sim *s, uint32_t i)
{
	struct worker *w = s->workers[i];
	size_t correct;
	if (s->joined[i] == UINT64_MAX)
		s->joined[i] = worker_global_step(w) / s->job.workers;
	load(s->nets[i], BATCH, s->job.replicas ? worker_global_step(w) : s->joined[i] + worker_local_step(w), i,
		s->job.workers);
	net_forward(s->nets[i], worker_rows(w), &correct);
	net_backward(s->nets[i], worker_rows(w));
	for (uint32_t shard = 0; shard < s->job.servers; shard++) {
		float *out;
		struct packet *packet = worker_frame(w, shard, has_row, s->nets[i], &out);
		net_gradient(s->nets[i], job_first_row(&s->job, shard), job_first_row(&s->job, shard + 1), out);
		worker_push(w, shard, packet, s->clock);
	}
}

// The pair is FIFO, as a connection is; otherwise anything may overtake anything.
static size_t pick(struct sim *s)
{
	size_t k = rng_below(&s->rng, s->queued);
	for (size_t j = 0; j < k; j++)
		if (s->queue[j].to_server == s->queue[k].to_server && s->queue[j].server == s->queue[k].server &&
			s->queue[j].worker == s->queue[k].worker && s->queue[j].incarnation == s->queue[k].incarnation)
			return j;
	return k;
}

// Every gradient that changed a shard is marked; one that does so twice fails the test.
static void give_to_server(struct sim *s, const struct letter *l)
{
	struct server_peer peer = {.size = 12};
	struct frame_head head;
	memcpy(peer.name, &l->worker, 4);
	memcpy(peer.name + 4, &l->incarnation, 8);
	memcpy(&head, l->packet->data, sizeof head);
	uint64_t before = server_step(s->servers[l->server]);
	server_take(s->servers[l->server], &peer, l->packet, s->clock);
	uint64_t made = server_step(s->servers[l->server]) - before;
	assert_true(made <= 1 && (made == 0 || head.kind == FRAME_PUSH));
	if (!made || s->job.replicas)
		return;
	uint64_t mark = head.worker + 10 * (head.incarnation + 1000 * head.sequence);
	for (size_t i = 0; i < s->marked[l->server]; i++)
		assert_true(s->marks[l->server][i] != mark);
	assert_true(s->marked[l->server] < MAR80);
	s->marks[l->server][s->marked[l->server]++] = mark;
}

static void deliver_at(struct sim *s, size_t k)
{
	struct letter l = s->queue[k];
	memmove(&s->queue[k], &s->queue[k + 1], (--s->queued - k) * sizeof l);
	if (l.to_server)
		give_to_server(s, &l);
	else if (s->workers[l.worker] && l.incarnation == s->incarnation[l.worker])
		worker_take(s->workers[l.worker], l.server, l.packet, s->clock);
	packet_drop(l.packet);
}

static void deliver(struct sim *s)
{
	deliver_at(s, pick(s));
}

static void turn(struct sim *s, uint32_t i)
{
	struct worker *w = s->workers[i];
	if (!w || s->left[i])
		return;
	worker_tick(w, s->clock);
	if (worker_failed(w))
		fail_msg("worker %u: %s", i, worker_failed(w));
	if (!worker_ready(w))
		return;
	if (!worker_done(w)) {
		compute(s, i);
		return;
	}
	worker_leave(w, s->clock);
	s->left[i] = 1;
}

static int all_finished(const struct sim *s)
{
	for (uint32_t i = 0; i < s->job.servers; i++)
		if (!server_finished(s->servers[i]))
			return 0;
	return 1;
}

// One moment: something is delivered, somebody computes; now and then nothing happens for a while.
static void moment(struct sim *s)
{
	if (s->queued && rng_below(&s->rng, 4))
		deliver(s);
	else
		turn(s, (uint32_t)rng_below(&s->rng, s->job.workers));
	s->clock += s->queued ? 0.001 : 0.1;
	if (rng_below(&s->rng, 50) == 0)
		for (uint32_t i = 0; i < s->job.servers; i++)
			server_tick(s->servers[i], s->clock);
}

// To the end. KILLS: about one process in so many moments is killed and started again; 0: none.
static void run(struct sim *s, uint64_t kills_servers, uint64_t kills_workers)
{
	for (int i = 0; !all_finished(s); i++) {
		if (i > 2000000)
			fail_msg("it does not end: step %llu of %llu; said: %s",
				(unsigned long long)server_step(s->servers[0]), (unsigned long long)s->job.steps,
				s->said);
		moment(s);
		if (kills_servers && rng_below(&s->rng, kills_servers) == 0) {
			uint32_t k = (uint32_t)rng_below(&s->rng, s->job.servers);
			kill_server(s, k);
			start_server(s, k);
		}
		uint32_t k = (uint32_t)rng_below(&s->rng, s->job.workers);
		if (kills_workers && rng_below(&s->rng, kills_workers) == 0) {
			kill_worker(s, k);
			start_worker(s, k);
		}
		for (k = 0; k < s->job.workers; k++) // its goodbye may have been lost with a server
			if (s->left[k] && worker_gone(s->workers[k], s->clock) && !all_finished(s) && !s->queued) {
				kill_worker(s, k);
				start_worker(s, k);
			}
	}
}

// All shards' parameters one after the other. Caller frees.
static float *collect(const struct sim *s)
{
	size_t width = net_width(s->job.hidden);
	float *all = mem_floats(NET_ROWS * width);
	for (uint32_t i = 0; i < s->job.servers; i++)
		memcpy(all + job_first_row(&s->job, i) * width, state_now((struct state *)&s->states[i])->params,
			job_floats(&s->job, i) * sizeof(float));
	return all;
}

static struct job job_for(uint32_t servers, uint32_t workers, uint32_t replicas, uint64_t steps)
{
	return (struct job){.hidden = 12,
		.servers = servers,
		.workers = workers,
		.replicas = replicas,
		.steps = steps,
		.seed = 3,
		.rate = 0.01};
}

// ---- tests

static void test_async(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 5; seed++)
		for (uint32_t servers = 1; servers <= 3; servers++) {
			struct sim *s = sim_new(job_for(servers, 3, 0, 50), NULL, seed);
			run(s, 0, 0);
			for (uint32_t i = 0; i < servers; i++)
				assert_int_equal(server_step(s->servers[i]), 50); // exactly, on every shard
			assert_string_equal(s->said, "");
			sim_free(s);
		}
}

// Servers and workers are killed at random moments: no gradient changes a shard twice, and server 0 makes exactly the
// steps that were asked for.
static void test_async_kills(void **state)
{
	(void)state;
	char *dir = testing_folder();
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct sim *s = sim_new(job_for(2, 3, 0, 60), dir, seed);
		run(s, seed % 3 ? 60 : 0, seed % 3 == 1 ? 0 : 60);
		uint64_t step = server_step(s->servers[0]);
		assert_true(step >= 60 && step <= 63);
		assert_int_equal(s->marked[0], step); // nothing that was done is lost either
		assert_int_equal(s->marked[1], server_step(s->servers[1]));
		if (seed % 3 == 1) // no worker was killed between two shards
			assert_int_equal(s->marked[1], s->marked[0]);
		sim_free(s);
	}
	testing_remove(dir);
}

// One process with the whole batch.
static float *single(uint32_t workers, uint64_t steps)
{
	struct job job = job_for(1, 1, 0, steps);
	size_t width = net_width(job.hidden), count = NET_ROWS * width, correct;
	float *block = mem_floats(6 * count), *grad = mem_floats(count + width);
	const float *rows[NET_ROWS], *grads[NET_ROWS];
	for (size_t row = 0; row < NET_ROWS; row++)
		net_randomize(block + row * width, row, job.hidden, job.seed);
	struct net *net = net_new(job.hidden, BATCH * workers);
	for (uint64_t step = 0; step < steps; step++) {
		float *from = block + step % 2 * 3 * count, *to = block + !(step % 2) * 3 * count, *at = grad;
		for (size_t row = 0; row < NET_ROWS; row++)
			rows[row] = from + row * width;
		load(net, BATCH * workers, step, 0, 1);
		net_forward(net, rows, &correct);
		net_backward(net, rows);
		net_gradient(net, 0, NET_ROWS, grad);
		for (size_t row = 0; row < NET_ROWS; row++) {
			grads[row] = net_has_row(net, row) ? at : grad + count;
			at += net_has_row(net, row) ? width : 0;
		}
		struct kernel_adam a = {.params = from,
			.m = from + count,
			.v = from + 2 * count,
			.new_params = to,
			.new_m = to + count,
			.new_v = to + 2 * count,
			.copy = to,
			.grad = grads,
			.rows = NET_ROWS,
			.width = width};
		kernel_adam_set(&a, job.rate, (double)step + 1);
		assert_true(kernel_best()->adam(&a));
	}
	float *result = mem_floats(count);
	memcpy(result, block + steps % 2 * 3 * count, count * sizeof(float));
	net_free(net);
	free(block);
	free(grad);
	return result;
}

// R replicas with a batch of B are one process with a batch of R * B.
static void test_sync_is_single(void **state)
{
	(void)state;
	for (uint32_t servers = 1; servers <= 3; servers++) {
		struct sim *s = sim_new(job_for(servers, 3, 3, 40), NULL, servers);
		run(s, 0, 0);
		float *got = collect(s), *wanted = single(3, 40);
		double worst = 0;
		for (size_t i = 0; i < NET_ROWS * net_width(12); i++)
			worst = fmax(worst, fabs((double)got[i] - (double)wanted[i]));
		if (!(worst < 1e-5))
			fail_msg("%u servers: %g apart", servers, worst);
		for (uint32_t i = 0; i < servers; i++)
			assert_int_equal(server_step(s->servers[i]), 40);
		free(got);
		free(wanted);
		sim_free(s);
	}
}

// With every worker's gradient in every step, who is killed when makes no difference, to the last bit.
static void test_sync_kills(void **state)
{
	(void)state;
	char *dir = testing_folder();
	struct sim *s = sim_new(job_for(2, 3, 3, 30), NULL, 1);
	run(s, 0, 0);
	float *wanted = collect(s);
	sim_free(s);
	for (uint64_t seed = 0; seed < 15; seed++) {
		s = sim_new(job_for(2, 3, 3, 30), dir, seed);
		run(s, seed % 3 ? 80 : 0, seed % 3 == 1 ? 0 : 80);
		float *got = collect(s);
		assert_memory_equal(got, wanted, NET_ROWS * net_width(12) * sizeof(float));
		free(got);
		sim_free(s);
	}
	free(wanted);
	testing_remove(dir);
}

// A step takes the first R gradients; the slow worker's are late, dropped and counted, and nobody waits for it.
static void test_sync_slow(void **state)
{
	(void)state;
	struct sim *s = sim_new(job_for(2, 3, 2, 40), NULL, 4);
	for (int i = 0; !server_over(s->servers[0]) || !server_over(s->servers[1]); i++) {
		assert_true(i < 1000000);
		if (s->queued)
			deliver(s);
		for (uint32_t w = 0; w < 3; w++)
			if (w < 2 || rng_below(&s->rng, 20) == 0)
				turn(s, w);
		s->clock += 0.001;
	}
	assert_true(server_late(s->servers[0]) > 0);
	assert_true(worker_late(s->workers[2]) > 0);
	run(s, 0, 0);
	assert_int_equal(server_step(s->servers[0]), 40);
	assert_int_equal(server_step(s->servers[1]), 40);
	sim_free(s);
}

// A gradient that is no number is refused, and changes nothing.
static void test_odd_gradient(void **state)
{
	(void)state;
	for (uint32_t replicas = 0; replicas < 2; replicas++) {
		struct sim *s = sim_new(job_for(1, 1, replicas, 10), NULL, 1);
		while (!worker_ready(s->workers[0]))
			moment(s);
		float *out;
		load(s->nets[0], BATCH, 0, 0, 1);
		struct packet *packet = worker_frame(s->workers[0], 0, has_row, s->nets[0], &out);
		memset(out, 0, packet->size - (size_t)((unsigned char *)out - packet->data));
		out[3] = NAN;
		worker_push(s->workers[0], 0, packet, s->clock);
		while (s->queued)
			deliver(s);
		assert_int_equal(server_step(s->servers[0]), 0);
		assert_non_null(worker_failed(s->workers[0]));
		assert_non_null(strstr(worker_failed(s->workers[0]), "holds what is no number"));
		sim_free(s);
	}
}

static void expect_failure(struct sim *s, uint32_t worker, const char *words)
{
	for (int i = 0; i < 100000 && !worker_failed(s->workers[worker]); i++) {
		if (s->queued)
			deliver(s);
		s->clock += 0.01;
		worker_tick(s->workers[worker], s->clock);
	}
	const char *why = worker_failed(s->workers[worker]);
	if (!why || !strstr(why, words))
		fail_msg("'%s', expected '%s'", why ? why : "nothing", words);
}

static void test_refusals(void **state)
{
	(void)state;
	struct sim *s = sim_new(job_for(1, 2, 0, 10), NULL, 1);
	while (!worker_ready(s->workers[0]) || !worker_ready(s->workers[1]))
		if (s->queued)
			deliver(s);
	struct job other = s->job;
	other.rate = 0.02;
	struct worker_world world = {&s->worker_ends[1], worker_sends, says};
	worker_free(s->workers[1]);
	s->workers[1] = worker_new(&other, 1, ++s->incarnation[1], world, s->clock);
	expect_failure(s, 1, "its options are not those that the training was begun with");
	other = s->job;
	other.steps = 11;
	worker_free(s->workers[1]);
	s->workers[1] = worker_new(&other, 1, ++s->incarnation[1], world, s->clock);
	expect_failure(s, 1, "it wants 11 steps, others want 10");
	other = s->job;
	other.workers = 3;
	worker_free(s->workers[1]);
	s->workers[1] = worker_new(&other, 1, ++s->incarnation[1], world, s->clock);
	expect_failure(s, 1, "it speaks of 1 servers and 3 workers, here are 1 and 2");
	worker_free(s->workers[1]);
	s->workers[1] = worker_new(&s->job, 1, s->incarnation[1] = 1, world, s->clock);
	worker_free(s->workers[0]);
	s->workers[0] = worker_new(&s->job, 0, s->incarnation[0] = 5,
		(struct worker_world){&s->worker_ends[0], worker_sends, says}, s->clock);
	while (!worker_ready(s->workers[0]))
		deliver(s);
	worker_free(s->workers[0]);
	s->workers[0] = worker_new(&s->job, 0, s->incarnation[0] = 4,
		(struct worker_world){&s->worker_ends[0], worker_sends, says}, s->clock);
	expect_failure(s, 0, "another process was started as worker 0 after it");
	sim_free(s);
}

// A server that comes back with nothing in the middle of a training is found out; a half new training is not begun.
static void test_lost_state(void **state)
{
	(void)state;
	for (uint32_t lost = 0; lost < 2; lost++) {
		struct sim *s = sim_new(job_for(2, 1, 0, 100), NULL, 1);
		while (server_step(s->servers[0]) < 5)
			moment(s);
		kill_server(s, lost);
		start_server(s, lost); // without a directory it has kept nothing
		expect_failure(
			s, 0, lost ? "server 1 has nothing left of this training" : "nothing left of this training");
		sim_free(s);
	}
}

// Nobody answers: it gives up, but not soon.
static void test_patience(void **state)
{
	(void)state;
	struct sim *s = sim_new(job_for(1, 1, 0, 10), NULL, 1);
	struct worker *w = s->workers[0];
	for (; s->clock < 299; s->clock += 1) {
		while (s->queued)
			packet_drop(s->queue[--s->queued].packet);
		worker_tick(w, s->clock);
		assert_null(worker_failed(w));
	}
	worker_tick(w, 302);
	assert_non_null(strstr(worker_failed(w), "has not answered for 300 seconds"));
	sim_free(s);
}

// Whether the second half of a server is what Adam makes of the first and of a gradient that is one step old, and the
// answer one step further.
static void check_stale(const struct state_half *before, const struct state_half *after, const struct frame *push,
	const struct frame *answer)
{
	const float *at = push->floats;
	size_t width = net_width(12), moved = 0;
	for (size_t i = 0; i < NET_ROWS * width; i++) {
		double g = frame_has_row(push, i / width) ? (double)*at++ : 0;
		double m = 0.9 * before->m[i] + 0.1 * g / 2, v = 0.999 * before->v[i] + 0.001 * g * g;
		double by = 0.01 / 2 / (1 - 0.9 * 0.9) * m / (sqrt(v / (1 - 0.999 * 0.999)) + 1e-8);
		assert_true(fabs(after->m[i] - m) < 1e-6 && fabs(after->v[i] - v) < 1e-6);
		assert_true(fabs(after->params[i] - (before->params[i] - by)) < 1e-5);
		assert_true(fabs(answer->floats[i] - (before->params[i] - 2 * by)) < 2e-5);
		moved += fabs(by) > 1e-3;
	}
	assert_true(moved > width);
}

// Two workers compute from the same parameters: the second one's gradient is one step old when it comes.
static void test_stale(void **state)
{
	(void)state;
	struct sim *s = sim_new(job_for(1, 2, 0, 100), NULL, 1);
	struct frame_expect expect = {2, 1, NET_ROWS, net_width(12)};
	struct frame push, answer;
	while (s->queued)
		deliver_at(s, 0);
	compute(s, 0);
	compute(s, 1);
	deliver_at(s, 0);
	struct packet *packet = packet_hold(s->queue[0].packet);
	assert_null(frame_parse(&push, packet->data, packet->size, &expect));
	deliver_at(s, 0);
	assert_int_equal(server_step(s->servers[0]), 2);
	const struct packet *reply = s->queue[s->queued - 1].packet;
	assert_null(frame_parse(&answer, reply->data, reply->size, &expect));
	assert_int_equal(answer.head.worker, 1);
	check_stale(state_other(&s->states[0]), state_now(&s->states[0]), &push, &answer);
	packet_drop(packet);
	sim_free(s);
}

// Where one worker is at work, its answers are the parameters, and so is the last answer of all.
static void test_nothing_ahead(void **state)
{
	(void)state;
	for (uint32_t workers = 1; workers <= 2; workers++) {
		struct sim *s = sim_new(job_for(1, workers, 0, workers), NULL, 1);
		struct frame_expect expect = {workers, 1, NET_ROWS, net_width(12)};
		struct frame answer;
		while (s->queued)
			deliver_at(s, 0);
		for (uint32_t i = 0; i < workers; i++)
			compute(s, i);
		for (uint32_t i = 0; i < workers; i++)
			deliver_at(s, 0);
		const struct packet *reply = s->queue[s->queued - 1].packet;
		assert_null(frame_parse(&answer, reply->data, reply->size, &expect));
		assert_int_equal(answer.head.step, workers);
		assert_memory_equal(
			answer.floats, state_now(&s->states[0])->params, job_floats(&s->job, 0) * sizeof(float));
		sim_free(s);
	}
}

// What is not a frame is dropped, and said so now and then.
static void test_rubbish(void **state)
{
	(void)state;
	struct sim *s = sim_new(job_for(1, 1, 0, 10), NULL, 1);
	struct server_peer peer = {.size = 12};
	for (int i = 0; i < 100; i++) {
		struct packet *p = packet_new((size_t)i);
		memset(p->data, i, (size_t)i);
		server_take(s->servers[0], &peer, p, s->clock);
		packet_drop(p);
	}
	size_t lines = 0;
	for (const char *c = s->said; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 7); // 1, 2, 4 ... 64
	run(s, 0, 0);
	assert_int_equal(server_step(s->servers[0]), 10);
	sim_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_async), cmocka_unit_test(test_async_kills),
		cmocka_unit_test(test_sync_is_single), cmocka_unit_test(test_sync_kills),
		cmocka_unit_test(test_sync_slow), cmocka_unit_test(test_odd_gradient), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_lost_state), cmocka_unit_test(test_patience), cmocka_unit_test(test_stale),
		cmocka_unit_test(test_nothing_ahead), cmocka_unit_test(test_rubbish)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
