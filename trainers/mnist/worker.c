#include "mnist/worker.h"

#include "common/mem.h"
#include "mnist/net.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_AGAIN                                                                                                      \
	0.5 // seconds without an answer until it says hello again, which is cheap; a gradient is only sent again when
	    // it got lost
#define PATIENCE 300.0 // seconds without a sign of a server until it gives up
#define LEAVE_SECONDS 3.0

enum phase {
	APART,   // nothing sent yet: server 0 is asked first
	WAITING, // hello, a pull or a push is sent
	READY,   // parameters are there
	PARTING, // goodbye is sent
	GONE
};

struct link {
	enum phase phase;
	uint64_t ask;          // number of the last hello; 0: it was answered
	int welcome;           // it has said so once
	struct packet *push;   // sent and not answered yet
	struct packet *params; // what worker_rows points into
	uint64_t step;         // of those
	double asked, heard;
};

struct worker {
	struct job job;
	uint32_t index;
	uint64_t incarnation, run, sequence, late;
	uint64_t asked; // how often
	uint64_t seen;  // the greatest step server 0 told of
	struct worker_world world;
	struct link *links;
	const float *rows[NET_ROWS];
	int done;
	double leaving;
	char failed[FRAME_MAX_TEXT + 100];
};

__attribute__((format(printf, 2, 3))) static void say(struct worker *w, const char *format, ...)
{
	char text[700];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	w->world.say(w->world.arg, text);
}

static void fail(struct worker *w, uint32_t shard, const char *text)
{
	if (!w->failed[0])
		snprintf(w->failed, sizeof w->failed, "server %u: %s", shard, text);
}

// ---- what it says

static struct frame_head head_for(const struct worker *w, uint32_t shard, enum frame_kind kind)
{
	return (struct frame_head){.kind = (uint16_t)kind,
		.worker = w->index,
		.shard = shard,
		.run = w->run,
		.incarnation = w->incarnation,
		.sequence = w->sequence};
}

static void send(struct worker *w, uint32_t shard, struct packet *packet, double now)
{
	w->links[shard].asked = now;
	w->world.send(w->world.arg, shard, packet);
}

static void greet(struct worker *w, uint32_t shard, double now)
{
	struct link *link = &w->links[shard];
	struct frame_head head = head_for(w, shard, FRAME_HELLO);
	head.step = w->seen;
	head.ask = link->ask = ++w->asked;
	if (link->phase == APART)
		link->phase = WAITING;
	send(w, shard, frame_new_hello(&head, &w->job), now);
}

// Parameters of STEP, if it still has them.
static void pull(struct worker *w, uint32_t shard, uint64_t step, double now)
{
	struct frame_head head = head_for(w, shard, FRAME_PULL);
	head.step = step;
	w->links[shard].phase = WAITING;
	send(w, shard, frame_new(&head), now);
}

// ---- what it hears

static void on_welcome(struct worker *w, uint32_t shard, const struct frame *f, double now)
{
	struct link *link = &w->links[shard];
	if (w->run && w->run != f->head.run) {
		fail(w, shard, "has begun another training; what it knew of this one is gone");
		return;
	}
	w->run = f->head.run;
	if (!link->welcome && shard == 0)
		for (uint32_t i = 1; i < w->job.servers; i++)
			greet(w, i, now);
	link->welcome = 1;
	if (link->phase != WAITING || f->head.ask != link->ask)
		return; // it was silent for long, and now answers all that it was asked meanwhile
	link->ask = 0;
	if (link->push && f->head.sequence < w->sequence) // it never came there
		send(w, shard, packet_hold(link->push), now);
	else
		pull(w, shard, FRAME_LATEST, now);
}

static void point_to(struct worker *w, uint32_t shard, const float *floats)
{
	size_t first = job_first_row(&w->job, shard), width = net_width(w->job.hidden);
	for (size_t row = 0; row < job_rows(&w->job, shard); row++)
		w->rows[first + row] = floats + row * width;
}

static int all_in(const struct worker *w, enum phase phase)
{
	for (uint32_t i = 0; i < w->job.servers; i++)
		if (w->links[i].phase != phase)
			return 0;
	return 1;
}

// Synchronous: a gradient is of one step, and shards that tell of different ones are asked again. One step apart: those
// ahead still have the parameters of the step before. Further apart: time has passed since those behind were asked.
static void catch_up(struct worker *w, double now)
{
	uint64_t low = UINT64_MAX, high = 0;
	for (uint32_t i = 0; i < w->job.servers; i++) {
		low = w->links[i].step < low ? w->links[i].step : low;
		high = w->links[i].step > high ? w->links[i].step : high;
	}
	for (uint32_t i = 0; i < w->job.servers && low < high; i++)
		if (high == low + 1 ? w->links[i].step == high : w->links[i].step < high)
			pull(w, i, high == low + 1 ? low : FRAME_LATEST, now);
}

static void on_params(struct worker *w, uint32_t shard, const struct frame *f, struct packet *packet, double now)
{
	struct link *link = &w->links[shard];
	if (link->phase != WAITING || f->head.sequence != w->sequence)
		return; // an answer that was thought lost
	packet_drop(link->params);
	packet_drop(link->push);
	link->params = packet_hold(packet);
	link->push = NULL;
	link->step = f->head.step;
	link->phase = READY;
	point_to(w, shard, f->floats);
	if (shard == 0) {
		w->seen = f->head.step > w->seen ? f->head.step : w->seen;
		w->late += (f->head.flags & FRAME_LATE) != 0;
		w->done = (f->head.flags & FRAME_DONE) != 0;
	}
	if (w->job.replicas && all_in(w, READY))
		catch_up(w, now);
}

void worker_take(struct worker *w, uint32_t shard, struct packet *packet, double now)
{
	struct frame f;
	struct frame_expect expect = {
		w->job.workers, w->job.servers, job_rows(&w->job, shard), net_width(w->job.hidden)};
	const char *wrong = frame_parse(&f, packet->data, packet->size, &expect);
	if (!wrong && (f.head.shard != shard || f.head.worker != w->index || f.head.incarnation != w->incarnation))
		wrong = "is for another";
	if (!wrong && f.head.kind != FRAME_REFUSED &&
		(f.head.run == 0 || (w->run && f.head.kind != FRAME_WELCOME && f.head.run != w->run)))
		wrong = "is of another training";
	if (wrong) {
		say(w, "dropped a frame of server %u: it %s", shard, wrong);
		return;
	}
	struct link *link = &w->links[shard];
	link->heard = now;
	switch (f.head.kind) {
	case FRAME_WELCOME:
		on_welcome(w, shard, &f, now);
		break;
	case FRAME_PARAMS:
		on_params(w, shard, &f, packet, now);
		break;
	case FRAME_FAREWELL:
		if (link->phase == PARTING)
			link->phase = GONE;
		break;
	case FRAME_REFUSED:
		if (f.head.flags & FRAME_GREET)
			greet(w, shard, now);
		else
			fail(w, shard, f.text);
		break;
	default:
		say(w, "dropped a frame of server %u: it is what only workers say", shard);
	}
}

// ---- its life

struct worker *worker_new(
	const struct job *job, uint32_t index, uint64_t incarnation, struct worker_world world, double now)
{
	struct worker *w = mem_new(1, sizeof *w);
	*w = (struct worker){.job = *job, .index = index, .incarnation = incarnation, .world = world};
	w->links = mem_new(job->servers, sizeof *w->links);
	for (uint32_t i = 0; i < job->servers; i++)
		w->links[i].heard = now;
	greet(w, 0, now);
	return w;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < w->job.servers; i++) {
		packet_drop(w->links[i].push);
		packet_drop(w->links[i].params);
	}
	free(w->links);
	free(w);
}

void worker_tick(struct worker *w, double now)
{
	for (uint32_t i = 0; i < w->job.servers; i++) {
		struct link *link = &w->links[i];
		if (link->phase != WAITING) {
			link->heard = now; // nobody was asked
			continue;
		}
		if (now - link->heard > PATIENCE)
			fail(w, i, "has not answered for 300 seconds");
		else if (now - link->asked > ASK_AGAIN)
			greet(w, i, now);
	}
}

const char *worker_failed(const struct worker *w)
{
	return w->failed[0] ? w->failed : NULL;
}

int worker_ready(const struct worker *w)
{
	return all_in(w, READY);
}

const float *const *worker_rows(const struct worker *w)
{
	return w->rows;
}

uint64_t worker_global_step(const struct worker *w)
{
	return w->links[0].step;
}

int worker_done(const struct worker *w)
{
	return w->done;
}

uint64_t worker_local_step(const struct worker *w)
{
	return w->sequence;
}

uint64_t worker_late(const struct worker *w)
{
	return w->late;
}

struct shifted {
	int (*has)(const void *arg, size_t row);
	const void *arg;
	size_t first;
};

static int has_shifted(const void *arg, size_t row)
{
	const struct shifted *s = arg;
	return s->has(s->arg, s->first + row);
}

struct packet *worker_frame(
	struct worker *w, uint32_t shard, int (*has)(const void *arg, size_t row), const void *arg, float **out)
{
	struct shifted shifted = {has, arg, job_first_row(&w->job, shard)};
	struct frame_head head = head_for(w, shard, FRAME_PUSH);
	head.sequence += shard == 0; // worker_push of shard 0 counts it
	head.step = w->links[shard].step;
	return frame_new_push(&head, job_rows(&w->job, shard), net_width(w->job.hidden), has_shifted, &shifted, out);
}

void worker_push(struct worker *w, uint32_t shard, struct packet *packet, double now)
{
	struct link *link = &w->links[shard];
	w->sequence += shard == 0;
	link->push = packet;
	link->phase = WAITING;
	link->heard = now;
	send(w, shard, packet_hold(packet), now);
}

void worker_leave(struct worker *w, double now)
{
	w->leaving = now;
	for (uint32_t i = 0; i < w->job.servers; i++) {
		struct frame_head head = head_for(w, i, FRAME_BYE);
		head.flags = w->done ? FRAME_DONE : 0;
		w->links[i].phase = PARTING;
		send(w, i, frame_new(&head), now);
	}
}

int worker_gone(const struct worker *w, double now)
{
	return all_in(w, GONE) || now - w->leaving > LEAVE_SECONDS;
}
