#include "mnist/server.h"

#include "common/die.h"
#include "common/mem.h"
#include "mnist/kernel.h"
#include "mnist/net.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Asynchronous training is to end with exactly the steps that were asked for. So server 0 lets no more workers compute
// than steps are left; the others wait for its answer. One that was let and is silent for so many seconds is not waited
// for: should it come after all, its step is one too many, on every shard.
#define LET_SECONDS 5.0

// What it remembers of a worker while it lives; what it must not forget is in the state.
struct seat {
	struct server_peer peer;
	uint64_t incarnation, last; // go to the state with the next step
	uint64_t sequence,
		want;        // WAITING: for an answer to SEQUENCE; synchronous: when the shard has come to step WANT
	struct packet *push; // synchronous: its gradient for the step that is under way
	double heard;
	int waiting, late, left;
	int let; // server 0, asynchronous: it may be computing
};

struct server {
	uint32_t shard, shards, workers;
	struct state *state;
	struct server_world world;
	uint64_t run; // of the training, should it begin here
	const struct kernel *kernel;
	struct seat *seats;
	uint32_t pushes;    // synchronous: seats that have one
	int extended;       // somebody has said how long the training is to be since this process started
	int done;           // a worker has gone because the training has made its steps
	uint64_t foreign;   // frames that were dropped
	uint64_t late_said; // of the late ones, those the log knows of
	size_t rows, width;
	const float **grad; // [rows]
	float *zeros, *sum; // a row; all rows
};

__attribute__((format(printf, 2, 3))) static void say(struct server *s, const char *format, ...)
{
	char text[700];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	s->world.say(s->world.arg, text);
}

static struct state_half *now_half(const struct server *s)
{
	return state_now(s->state);
}

static int synchronous(const struct server *s)
{
	return state_job(s->state)->replicas > 0;
}

// ---- beginning and end

static void know_job(struct server *s)
{
	const struct job *job = state_job(s->state);
	s->rows = job_rows(job, s->shard);
	s->width = net_width(job->hidden);
	s->grad = mem_new(s->rows, sizeof *s->grad);
	s->zeros = mem_floats(s->width);
	s->sum = mem_floats(s->rows * s->width);
}

struct server *server_new(
	uint32_t shard, uint32_t shards, uint32_t workers, struct state *state, uint64_t run, struct server_world world)
{
	struct server *s = mem_new(1, sizeof *s);
	*s = (struct server){
		.shard = shard, .shards = shards, .workers = workers, .state = state, .world = world, .run = run};
	s->kernel = kernel_best();
	s->seats = mem_new(workers, sizeof *s->seats);
	if (!state->file)
		return s;
	const struct job *job = state_job(state);
	if (job->servers != shards || job->workers != workers)
		die("%s: of a training with %u servers and %u workers, here are %u and %u; remove it to start anew",
			state->path ? state->path : "memory", job->servers, job->workers, shards, workers);
	know_job(s);
	for (uint32_t w = 0; w < workers; w++) {
		s->seats[w].incarnation = now_half(s)->seats[w].incarnation;
		s->seats[w].last = now_half(s)->seats[w].last;
		s->seats[w].let = 1; // for all it knows
	}
	return s;
}

void server_free(struct server *s)
{
	if (!s)
		return;
	for (uint32_t w = 0; w < s->workers; w++)
		packet_drop(s->seats[w].push);
	free(s->seats);
	free(s->grad);
	free(s->zeros);
	free(s->sum);
	free(s);
}

uint64_t server_step(const struct server *s)
{
	return s->state->file ? now_half(s)->step : 0;
}

uint64_t server_late(const struct server *s)
{
	return s->state->file ? now_half(s)->late : 0;
}

int server_over(const struct server *s)
{
	uint64_t steps = s->state->file ? state_job(s->state)->steps : 0;
	return steps && (s->done || server_step(s) >= steps);
}

int server_finished(const struct server *s)
{
	if (!s->done)
		return 0;
	for (uint32_t w = 0; w < s->workers; w++)
		if (!s->seats[w].left)
			return 0;
	return 1;
}

// ---- answers

static struct frame_head head_for(const struct server *s, uint32_t worker, enum frame_kind kind)
{
	return (struct frame_head){.kind = (uint16_t)kind,
		.worker = worker,
		.shard = s->shard,
		.run = s->state->file ? state_run(s->state) : 0,
		.incarnation = s->seats[worker].incarnation,
		.step = server_step(s)};
}

__attribute__((format(printf, 5, 6))) static void refuse(
	struct server *s, const struct server_peer *to, const struct frame *f, uint32_t flags, const char *format, ...)
{
	char text[FRAME_MAX_TEXT];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (!(flags & FRAME_GREET))
		say(s, "refused worker %u: %s", f->head.worker, text);
	struct frame_head head = head_for(s, f->head.worker, FRAME_REFUSED);
	head.incarnation = f->head.incarnation;
	head.flags = flags;
	s->world.send(s->world.arg, to, frame_new_refused(&head, text));
}

// The parameters for a worker, to be filled in at *OUT.
static struct packet *params_packet(struct server *s, uint32_t w, float **out)
{
	struct frame_head head = head_for(s, w, FRAME_PARAMS);
	head.sequence = s->seats[w].sequence;
	head.flags = (s->seats[w].late ? FRAME_LATE : 0);
	return frame_new_params(&head, s->rows * s->width, out);
}

// Sends what params_packet made: parameters of STEP.
static void send_params(struct server *s, uint32_t w, struct packet *packet, uint64_t step)
{
	struct seat *seat = &s->seats[w];
	struct frame_head head;
	memcpy(&head, packet->data, sizeof head);
	head.step = step;
	uint64_t steps = state_job(s->state)->steps;
	if (steps && head.step >= steps)
		head.flags |= FRAME_DONE;
	memcpy(packet->data, &head, sizeof head);
	seat->waiting = seat->late = 0;
	s->world.send(s->world.arg, &seat->peer, packet);
}

static void answer_from(struct server *s, uint32_t w, const struct state_half *half)
{
	float *out;
	struct packet *packet = params_packet(s, w, &out);
	memcpy(out, half->params, s->rows * s->width * sizeof *out);
	send_params(s, w, packet, half->step);
}

static void answer(struct server *s, uint32_t w)
{
	answer_from(s, w, now_half(s));
}

// Whether a waiting worker may have its answer.
static int may_answer(struct server *s, uint32_t w)
{
	const struct job *job = state_job(s->state);
	uint64_t step = server_step(s), under_way = 0;
	if (job->steps && step >= job->steps)
		return 1;
	if (synchronous(s))
		return step >= s->seats[w].want;
	if (s->shard > 0 || !job->steps)
		return 1;
	for (uint32_t i = 0; i < s->workers; i++)
		under_way += (uint64_t)s->seats[i].let;
	if (step + under_way >= job->steps)
		return 0;
	s->seats[w].let = 1;
	return 1;
}

static void answer_waiting(struct server *s)
{
	for (uint32_t w = 0; w < s->workers; w++)
		if (s->seats[w].waiting && may_answer(s, w))
			answer(s, w);
}

// ---- steps

// Steps that others are expected to make between an answer to worker W, now, and its gradient. None beyond the
// training's end.
static uint64_t steps_ahead(const struct server *s, uint32_t w)
{
	uint64_t steps = state_job(s->state)->steps, step = server_step(s) + 1, others = 0;
	for (uint32_t i = 0; i < s->workers; i++) {
		const struct seat *seat = &s->seats[i];
		others += i != w && seat->heard > 0 && !seat->left && s->seats[w].heard - seat->heard < LET_SECONDS;
	}
	if (!steps)
		return others;
	return step >= steps ? 0 : others < steps - step ? others : steps - step;
}

// Adam from the true half into the other, with the gradient in s->grad, which is AGE steps old. COPY gets what the
// parameters will be AHEAD steps later. Returns -1 when the gradient is no number; then nothing has happened.
static int make_step(struct server *s, float *copy, uint64_t age, uint64_t ahead)
{
	struct state_half *now = now_half(s), *next = state_next(s->state);
	struct kernel_adam a = {.params = now->params,
		.m = now->m,
		.v = now->v,
		.new_params = next->params,
		.new_m = next->m,
		.new_v = next->v,
		.copy = copy,
		.grad = s->grad,
		.rows = s->rows,
		.width = s->width};
	kernel_adam_set(&a, state_job(s->state)->rate / (1 + (double)age), (double)now->step + 1);
	a.weight = 1 / (1 + (float)age);
	a.ahead = (float)ahead;
	return s->kernel->adam(&a) ? 0 : -1;
}

// The step that was made is true, and so is what the seats say.
static void commit(struct server *s)
{
	struct state_half *next = state_other(s->state);
	for (uint32_t w = 0; w < s->workers; w++)
		next->seats[w] = (struct state_seat){s->seats[w].incarnation, s->seats[w].last};
	state_commit(s->state);
}

// Points s->grad to a gradient's rows.
static void find_rows(struct server *s, const struct frame *f)
{
	const float *at = f->floats;
	for (size_t row = 0; row < s->rows; row++) {
		int there = frame_has_row(f, row);
		s->grad[row] = there ? at : s->zeros;
		at += there ? s->width : 0;
	}
}

static void refuse_gradient(struct server *s, const struct frame *f)
{
	struct seat *seat = &s->seats[f->head.worker];
	seat->waiting = 0;
	refuse(s, &seat->peer, f, 0,
		"the gradient of its step %llu holds what is no number, or one too large to be squared; it is not "
		"applied",
		(unsigned long long)f->head.sequence);
}

static void apply_at_once(struct server *s, const struct frame *f)
{
	uint32_t w = f->head.worker;
	struct seat *seat = &s->seats[w];
	float *out;
	struct packet *packet = params_packet(s, w, &out);
	find_rows(s, f);
	if (make_step(s, out, server_step(s) - f->head.step, steps_ahead(s, w)) < 0) {
		packet_drop(packet);
		refuse_gradient(s, f);
		return;
	}
	seat->last = f->head.sequence;
	commit(s);
	if (may_answer(s, w))
		send_params(s, w, packet, server_step(s)); // with the parameters that the step has left there
	else
		packet_drop(packet);
	answer_waiting(s);
}

// The mean of the replicas' gradients, added up in the order of the workers, so that it is the same whoever came first.
static void add_up(struct server *s)
{
	const struct job *job = state_job(s->state);
	struct frame_expect expect = {s->workers, s->shards, s->rows, s->width};
	float share = 1 / (float)job->replicas;
	memset(s->sum, 0, s->rows * s->width * sizeof *s->sum);
	for (uint32_t w = 0; w < s->workers; w++) {
		struct frame f;
		if (!s->seats[w].push || frame_parse(&f, s->seats[w].push->data, s->seats[w].push->size, &expect))
			continue;
		find_rows(s, &f);
		for (size_t row = 0; row < s->rows; row++)
			for (size_t c = 0; c < s->width && s->grad[row] != s->zeros; c++)
				s->sum[row * s->width + c] += s->grad[row][c] * share;
	}
	for (size_t row = 0; row < s->rows; row++)
		s->grad[row] = s->sum + row * s->width;
}

static void apply_together(struct server *s)
{
	add_up(s);
	int ok = make_step(s, state_other(s->state)->params, 0, 0) ==
		 0; // nobody needs the copy: it goes where they go anyway
	for (uint32_t w = 0; w < s->workers; w++) {
		struct seat *seat = &s->seats[w];
		if (!seat->push)
			continue;
		seat->last = seat->sequence;
		packet_drop(seat->push);
		seat->push = NULL;
	}
	s->pushes = 0;
	if (!ok) { // each was a number, their sum is not
		say(s, "the gradients of step %llu add up to what is no number; they are not applied",
			(unsigned long long)server_step(s));
		return;
	}
	commit(s);
	answer_waiting(s);
}

static int all_numbers(const struct frame *f, size_t width)
{
	int odd = 0;
	for (size_t i = 0; i < f->rows * width; i++)
		odd |= !isfinite(f->floats[i] * f->floats[i]);
	return !odd;
}

static void collect(struct server *s, const struct frame *f, struct packet *packet)
{
	struct seat *seat = &s->seats[f->head.worker];
	if (f->head.step < server_step(s)) {
		seat->last = f->head.sequence;
		seat->late = 1;
		now_half(s)->late++;
		seat->want = 0;
		answer(s, f->head.worker);
		return;
	}
	if (!all_numbers(f, s->width)) {
		refuse_gradient(s, f);
		return;
	}
	seat->want = f->head.step + 1;
	s->pushes += seat->push == NULL;
	packet_drop(seat->push); // one that is sent again, or of a former life
	seat->push = packet_hold(packet);
	if (s->pushes >= state_job(s->state)->replicas)
		apply_together(s);
}

// ---- what workers say

// A worker's later life takes the seat of the one before. Returns -1 when it is the other way round.
static int take_seat(struct server *s, const struct server_peer *from, const struct frame *f, double now)
{
	struct seat *seat = &s->seats[f->head.worker];
	if (f->head.incarnation < seat->incarnation) {
		refuse(s, from, f, 0, "another process was started as worker %u after it", f->head.worker);
		return -1;
	}
	if (f->head.incarnation > seat->incarnation) {
		s->pushes -= seat->push != NULL;
		packet_drop(seat->push);
		*seat = (struct seat){.incarnation = f->head.incarnation};
	}
	seat->peer = *from;
	seat->heard = now;
	return 0;
}

static void on_hello(struct server *s, const struct server_peer *from, const struct frame *f, double now)
{
	const struct frame_head *h = &f->head;
	const struct job *job = &f->job;
	if (job->servers != s->shards || job->workers != s->workers) {
		refuse(s, from, f, 0, "it speaks of %u servers and %u workers, here are %u and %u", job->servers,
			job->workers, s->shards, s->workers);
		return;
	}
	if (!s->state->file) {
		if (h->step > 0 || (s->shard == 0) != (h->run == 0)) {
			refuse(s, from, f, 0, "server %u has nothing left of this training: was its --log_dir removed?",
				s->shard);
			return;
		}
		state_create(s->state, job, s->shard ? h->run : s->run);
		know_job(s);
	} else if (!job_same(job, state_job(s->state))) {
		refuse(s, from, f, 0, "its options are not those that the training was begun with");
		return;
	}
	if (h->run && h->run != state_run(s->state)) {
		refuse(s, from, f, 0,
			"what server %u keeps is of another training; is something of it left in a --log_dir?",
			s->shard);
		return;
	}
	if (!s->extended) {
		state_extend(s->state, job->steps);
		s->extended = 1;
	} else if (job->steps != state_job(s->state)->steps) {
		refuse(s, from, f, 0, "it wants %llu steps, others want %llu", (unsigned long long)job->steps,
			(unsigned long long)state_job(s->state)->steps);
		return;
	}
	if (take_seat(s, from, f, now) < 0)
		return;
	struct seat *seat = &s->seats[h->worker];
	seat->left = 0;
	seat->let = seat->let && h->sequence > seat->last;
	struct frame_head reply = head_for(s, h->worker, FRAME_WELCOME);
	reply.sequence = seat->last;
	reply.ask = h->ask;
	s->world.send(s->world.arg, from, frame_new(&reply));
	answer_waiting(s);
}

static void on_push(struct server *s, const struct frame *f, struct packet *packet)
{
	struct seat *seat = &s->seats[f->head.worker];
	if (f->head.sequence <= seat->last) { // known, and its answer was lost
		seat->want = 0;
		if (may_answer(s, f->head.worker))
			answer(s, f->head.worker);
		return;
	}
	seat->let = 0;
	if (f->head.step > server_step(s))
		refuse(s, &seat->peer, f, 0, "its gradient is for step %llu, server %u is at %llu",
			(unsigned long long)f->head.step, s->shard, (unsigned long long)server_step(s));
	else if (synchronous(s))
		collect(s, f, packet);
	else
		apply_at_once(s, f);
}

// Synchronous: shards may be one step apart, when a worker was killed after it had handed in one shard's part and
// before the other's. Its successor then computes that step's gradient again, for which it needs the step's parameters
// from all of them.
static void on_pull(struct server *s, const struct frame *f)
{
	const struct state_half *other = state_other(s->state);
	uint32_t w = f->head.worker;
	s->seats[w].want = 0;
	if (synchronous(s) && other->step == f->head.step && other->step != STATE_TORN)
		answer_from(s, w, other);
	else if (may_answer(s, w))
		answer(s, w);
}

static void on_bye(struct server *s, const struct frame *f)
{
	struct seat *seat = &s->seats[f->head.worker];
	seat->left = 1;
	seat->let = seat->waiting = 0;
	s->done |= (f->head.flags & FRAME_DONE) != 0;
	struct frame_head reply = head_for(s, f->head.worker, FRAME_FAREWELL);
	s->world.send(s->world.arg, &seat->peer, frame_new(&reply));
	answer_waiting(s);
}

// Every power of two: who sends rubbish is not to fill the log too.
static void drop(struct server *s, const char *why)
{
	s->foreign++;
	if ((s->foreign & (s->foreign - 1)) == 0)
		say(s, "dropped a frame: it %s (%llu so far)", why, (unsigned long long)s->foreign);
}

void server_take(struct server *s, const struct server_peer *from, struct packet *packet, double now)
{
	struct frame f;
	struct frame_expect expect = {s->workers, s->shards, s->rows, s->width};
	const char *wrong = frame_parse(&f, packet->data, packet->size, &expect);
	if (!wrong && f.head.shard != s->shard)
		wrong = "is for another server";
	if (!wrong && f.head.kind != FRAME_HELLO && f.head.kind != FRAME_PULL && f.head.kind != FRAME_PUSH &&
		f.head.kind != FRAME_BYE)
		wrong = "is what only servers say";
	if (!wrong && (f.head.incarnation == 0 || (f.head.kind == FRAME_PUSH && f.head.sequence == 0)))
		wrong = "has no number";
	if (wrong) {
		drop(s, wrong);
		return;
	}
	if (f.head.kind != FRAME_HELLO && (!s->state->file || f.head.run != state_run(s->state))) {
		refuse(s, from, &f, FRAME_GREET, "server %u does not know this training", s->shard);
		return;
	}
	if (f.head.kind == FRAME_HELLO) {
		on_hello(s, from, &f, now);
		return;
	}
	if (take_seat(s, from, &f, now) < 0)
		return;
	struct seat *seat = &s->seats[f.head.worker];
	if (f.head.kind == FRAME_BYE) {
		on_bye(s, &f);
		return;
	}
	seat->waiting = 1;
	seat->sequence = f.head.sequence;
	if (f.head.kind == FRAME_PUSH) {
		on_push(s, &f, packet);
		return;
	}
	seat->let = 0;
	on_pull(s, &f);
}

void server_tick(struct server *s, double now)
{
	if (!s->state->file)
		return;
	for (uint32_t w = 0; w < s->workers; w++) {
		struct seat *seat = &s->seats[w];
		if (seat->heard == 0)
			seat->heard = now; // it came back from the state
		if (seat->let && now - seat->heard > LET_SECONDS)
			seat->let = 0;
	}
	answer_waiting(s);
	if (server_late(s) != s->late_said) {
		s->late_said = server_late(s);
		say(s, "%llu late gradients dropped so far (global step: %llu)", (unsigned long long)s->late_said,
			(unsigned long long)server_step(s));
	}
}
