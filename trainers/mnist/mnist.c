// Trains a network of one hidden layer to tell digits, or clothes, in the classic way: parameter servers keep the
// parameters, workers ask for them, compute a gradient and hand it in. Alone it does the same in one process. Read from
// main() up.
#include "common/die.h"
#include "common/mem.h"
#include "mnist/cluster.h"
#include "mnist/feed.h"
#include "mnist/journal.h"
#include "mnist/kernel.h"
#include "mnist/model.h"
#include "mnist/options.h"
#include "mnist/server.h"
#include "mnist/wire.h"
#include "mnist/worker.h"

#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#define SCORE_SECONDS 5.0 // between two looks at the test images
#define TICK 0.25         // seconds

static volatile sig_atomic_t stopped;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// ---- what a worker and a process alone share: from parameters to a gradient

struct trainer {
	const struct options *options;
	struct journal journal;
	struct feed feed;
	struct net *net;
	struct data test; // opened when it is first needed
	double scored;    // when
};

static void trainer_init(struct trainer *t, const struct options *o, uint32_t index, uint32_t workers)
{
	t->options = o;
	t->net = net_new((size_t)o->hidden_units, (size_t)o->batch_size);
	feed_init(&t->feed, o->data_dir, (uint64_t)o->seed, index, workers, (size_t)o->batch_size);
}

static void trainer_fini(struct trainer *t)
{
	net_free(t->net);
	feed_fini(&t->feed);
	data_close(&t->test);
}

// The loss of batch NUMBER; its gradient is ready afterwards.
static double compute(struct trainer *t, uint64_t number, const float *const *rows)
{
	size_t correct;
	feed_load(&t->feed, number, t->net);
	double loss = net_forward(t->net, rows, &correct);
	if (!(loss < 1e30))
		die("%s: the loss is %g: training has diverged, a smaller --learning_rate may help", t->journal.name,
			loss);
	net_backward(t->net, rows);
	return loss;
}

static void score(struct trainer *t, const float *const *rows, uint64_t step)
{
	if (!t->test.pixels)
		data_open(&t->test, t->options->data_dir, 1);
	journal_score(&t->journal, model_test(rows, (size_t)t->options->hidden_units, &t->test), step);
	t->scored = now();
}

static void finish(struct trainer *t, const float *const *rows, uint64_t step)
{
	score(t, rows, step);
	model_save(t->options->log_dir, rows, (size_t)t->options->hidden_units, step);
}

// ---- alone

// Parameters and moments, twice, as in a server: a step goes from one half to the other.
struct halves {
	size_t width, count;
	float *block;
	const float *rows[NET_ROWS], *grads[NET_ROWS];
	float *grad;
};

static void halves_init(struct halves *h, const struct options *o)
{
	h->width = net_width((size_t)o->hidden_units);
	h->count = NET_ROWS * h->width;
	h->block = mem_floats(6 * h->count);
	h->grad = mem_floats(h->count + h->width); // and a row of zeros
	for (size_t row = 0; row < NET_ROWS; row++) {
		h->rows[row] = h->block + row * h->width;
		net_randomize(h->block + row * h->width, row, (size_t)o->hidden_units, (uint64_t)o->seed);
	}
}

static void halves_step(struct halves *h, struct net *net, double rate, uint64_t step)
{
	float *from = h->block + (step % 2 ? 0 : 3 * h->count), *to = h->block + (step % 2 ? 3 * h->count : 0);
	net_gradient(net, 0, NET_ROWS, h->grad);
	const float *at = h->grad;
	for (size_t row = 0; row < NET_ROWS; row++) {
		int there = net_has_row(net, row);
		h->grads[row] = there ? at : h->grad + h->count;
		at += there ? h->width : 0;
	}
	struct kernel_adam a = {.params = from,
		.m = from + h->count,
		.v = from + 2 * h->count,
		.new_params = to,
		.new_m = to + h->count,
		.new_v = to + 2 * h->count,
		.copy = to,
		.grad = h->grads,
		.rows = NET_ROWS,
		.width = h->width};
	kernel_adam_set(&a, rate, (double)step);
	if (!kernel_best()->adam(&a))
		die("step %llu: the gradient is no number: training has diverged, a smaller --learning_rate may help",
			(unsigned long long)step);
	for (size_t row = 0; row < NET_ROWS; row++)
		h->rows[row] = to + row * h->width;
}

static void run_alone(const struct options *o)
{
	struct trainer t = {0};
	struct halves h;
	journal_init(&t.journal, "Worker", 0);
	trainer_init(&t, o, 0, 1);
	halves_init(&h, o);
	uint64_t steps = (uint64_t)o->train_steps, step = 0;
	journal_begin(&t.journal);
	t.scored = now();
	while ((!steps || step < steps) && !stopped) {
		double loss = compute(&t, step, h.rows);
		halves_step(&h, t.net, o->learning_rate, ++step);
		journal_step(&t.journal, step, step, loss, step == steps);
		if (now() - t.scored > SCORE_SECONDS)
			score(&t, h.rows, step);
	}
	journal_end(&t.journal);
	finish(&t, h.rows, step);
	free(h.block);
	free(h.grad);
	trainer_fini(&t);
}

// ---- a worker

struct working {
	struct trainer trainer;
	struct wire *wire;
	struct worker *worker;
	uint64_t joined; // the batch it began with
	double loss;
};

static void send_to_server(void *arg, uint32_t shard, struct packet *packet)
{
	wire_send_server(((struct working *)arg)->wire, shard, packet);
}

static void worker_says(void *arg, const char *text)
{
	journal_say(&((struct working *)arg)->trainer.journal, "%s", text);
}

static int has_row(const void *net, size_t row)
{
	return net_has_row(net, row);
}

// Each shard's part is on its way while the next one's is computed.
static void make_step(struct working *w, const struct job *job)
{
	uint64_t local = worker_local_step(w->worker), global = worker_global_step(w->worker);
	// Synchronous: the global step says which batch, whoever was restarted in between. Otherwise: from the place
	// where it joined.
	uint64_t number = job->replicas ? global : w->joined + local;
	w->loss = compute(&w->trainer, number, worker_rows(w->worker));
	for (uint32_t shard = 0; shard < job->servers; shard++) {
		float *out;
		struct packet *packet = worker_frame(w->worker, shard, has_row, w->trainer.net, &out);
		net_gradient(w->trainer.net, job_first_row(job, shard), job_first_row(job, shard + 1), out);
		worker_push(w->worker, shard, packet, now());
	}
}

// Hears what has come; waits when there is nothing to compute.
static void listen(struct working *w, int idle)
{
	uint32_t shard;
	struct packet *packet;
	if (idle)
		wire_wait(w->wire, TICK);
	while ((packet = wire_take_worker(w->wire, &shard))) {
		worker_take(w->worker, shard, packet, now());
		packet_drop(packet);
	}
	worker_tick(w->worker, now());
	if (worker_failed(w->worker))
		die("%s: %s", w->trainer.journal.name, worker_failed(w->worker));
}

static void work(struct working *w, const struct job *job, uint32_t index)
{
	struct trainer *t = &w->trainer;
	while (!worker_ready(w->worker) && !stopped)
		listen(w, 1);
	w->joined = worker_global_step(w->worker) / job->workers;
	journal_begin(&t->journal);
	t->scored = now();
	while (!stopped) {
		if (!worker_ready(w->worker)) {
			listen(w, 1);
			continue;
		}
		uint64_t local = worker_local_step(w->worker), global = worker_global_step(w->worker);
		if (local)
			journal_step(&t->journal, local, global, w->loss, worker_done(w->worker));
		if (worker_done(w->worker))
			break;
		if (index == 0 && now() - t->scored > SCORE_SECONDS)
			score(t, worker_rows(w->worker), global);
		make_step(w, job);
	}
	journal_end(&t->journal);
	if (worker_late(w->worker))
		journal_say(&t->journal, "%llu of its %llu gradients came late and were dropped",
			(unsigned long long)worker_late(w->worker), (unsigned long long)worker_local_step(w->worker));
}

static struct job job_of(const struct options *o, const struct cluster *c)
{
	uint32_t all = c->worker_count, some = (uint32_t)o->replicas_to_aggregate;
	return (struct job){.hidden = (uint32_t)o->hidden_units,
		.servers = c->ps_count,
		.workers = all,
		.replicas = !o->sync_replicas ? 0
			    : some            ? some
					      : all,
		.steps = (uint64_t)o->train_steps,
		.seed = (uint64_t)o->seed,
		.rate = o->learning_rate};
}

// Greater with every start: that is what tells a worker that was restarted from the one before.
static uint64_t incarnation(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void run_worker(const struct options *o, const struct cluster *c)
{
	struct working w = {0};
	struct job job = job_of(o, c);
	const char *wrong = job_check(&job);
	if (wrong)
		die("%s", wrong);
	journal_init(&w.trainer.journal, "Worker", (long)c->index);
	w.wire = wire_dial(c->ps, c->ps_count, frame_limit());
	w.worker = worker_new(
		&job, c->index, incarnation(), (struct worker_world){&w, send_to_server, worker_says}, now());
	trainer_init(&w.trainer, o, c->index, c->worker_count);
	work(&w, &job, c->index);
	if (c->index == 0 && worker_ready(w.worker))
		finish(&w.trainer, worker_rows(w.worker), worker_global_step(w.worker));
	worker_leave(w.worker, now());
	while (!worker_gone(w.worker, now()))
		listen(&w, 1);
	worker_free(w.worker);
	wire_close(w.wire);
	trainer_fini(&w.trainer);
}

// ---- a server

struct serving {
	struct journal journal;
	struct wire *wire;
};

static void send_to_worker(void *arg, const struct server_peer *to, struct packet *packet)
{
	wire_send_worker(((struct serving *)arg)->wire, to, packet);
}

static void server_says(void *arg, const char *text)
{
	journal_say(&((struct serving *)arg)->journal, "%s", text);
}

static uint64_t random_number(void)
{
	uint64_t n = 0;
	while (!n)
		if (getrandom(&n, sizeof n, 0) != sizeof n)
			die("no random numbers: %s", strerror(errno));
	return n;
}

static void serve(struct serving *s, struct server *server)
{
	double ticked = now();
	while (!stopped && !server_finished(server)) {
		struct server_peer peer;
		struct packet *packet;
		wire_wait(s->wire, TICK);
		while ((packet = wire_take_server(s->wire, &peer))) {
			server_take(server, &peer, packet, now());
			packet_drop(packet);
		}
		if (now() - ticked >= 1) {
			ticked = now();
			server_tick(server, ticked);
		}
	}
}

static void run_server(const struct options *o, const struct cluster *c)
{
	struct serving s = {0};
	struct state state;
	journal_init(&s.journal, "Server", (long)c->index);
	state_open(&state, o->log_dir, c->index);
	struct server *server = server_new(c->index, c->ps_count, c->worker_count, &state, random_number(),
		(struct server_world){&s, send_to_worker, server_says});
	if (state.file)
		journal_say(
			&s.journal, "%s: goes on at step %llu", state.path, (unsigned long long)server_step(server));
	s.wire = wire_listen(c->ps[c->index], frame_limit());
	journal_say(&s.journal, "listens at %s", c->ps[c->index]);
	serve(&s, server);
	journal_say(&s.journal, "ends after %llu steps; %llu late gradients were dropped",
		(unsigned long long)server_step(server), (unsigned long long)server_late(server));
	rank_metric(&s.journal.rank, "late_gradients", (double)server_late(server), (long)server_step(server));
	if (server_over(server))
		state_remove(&state);
	wire_close(s.wire);
	server_free(server);
	state_close(&state);
}

// ---- main

static void on_stop(int number)
{
	(void)number;
	stopped = 1;
}

static void take_signals(void)
{
	struct sigaction action = {
		.sa_handler = on_stop, .sa_flags = (int)SA_RESETHAND}; // the second one ends it at once
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

// Blocks as large as a frame come and go a thousand times a second: they are not to be given back to the system each
// time.
static void keep_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 1 << 28);
	mallopt(M_TRIM_THRESHOLD, 1 << 28);
}

// Whoever sends a frame wakes its receiver with the first piece of it. Where processes share cores, the receiver is not
// to take the core away for that piece, and again for the next.
static void yield_to_senders(void)
{
	sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}); // where it is not allowed, it is only slower
}

int main(int argc, char **argv)
{
	struct options options;
	struct cluster cluster;
	setvbuf(stdout, NULL, _IOLBF, 0); // a line is out when it is printed, into a pipe too
	options_parse(&options, argc, argv);
	cluster_init(&cluster,
		&(struct cluster_words){options.ps_hosts, options.worker_hosts, options.job_name, options.task_index});
	if (mkdir(options.log_dir, 0777) < 0 && errno != EEXIST)
		die("--log_dir %s: %s", options.log_dir, strerror(errno));
	keep_memory();
	yield_to_senders();
	take_signals();
	if (cluster.role == CLUSTER_PS)
		run_server(&options, &cluster);
	else if (cluster.role == CLUSTER_WORKER)
		run_worker(&options, &cluster);
	else
		run_alone(&options);
	cluster_fini(&cluster);
	return 0;
}
