// A worker's side of the conversation with all its servers: joins, asks for parameters, hands gradients in, and asks
// again when nobody answers. Frames in, frames out. Not the transport (wire.h) and not the arithmetic (net.h).
#ifndef MNIST_WORKER_H
#define MNIST_WORKER_H
#include "mnist/frame.h"

// How it reaches the world. SEND takes the packet.
struct worker_world {
	void *arg;
	void (*send)(void *arg, uint32_t shard, struct packet *packet);
	void (*say)(void *arg, const char *text); // one line for the log
};

struct worker;

// Worker INDEX; INCARNATION is greater than that of any process that was this worker before. Says hello. Caller frees.
// NOW is seconds of a clock that does not jump.
struct worker *worker_new(
	const struct job *job, uint32_t index, uint64_t incarnation, struct worker_world world, double now);
void worker_free(struct worker *w);

// A packet from server SHARD, or from anybody. The caller still holds it.
void worker_take(struct worker *w, uint32_t shard, struct packet *packet, double now);

// To be called a few times a second: asks again who has not answered.
void worker_tick(struct worker *w, double now);

// Why it can never go on, or NULL.
const char *worker_failed(const struct worker *w);

// Whether parameters of all shards are there, of one and the same step when training is synchronous. Until the next
// worker_push or worker_leave, worker_rows(W)[0..NET_ROWS) point to them.
int worker_ready(const struct worker *w);
const float *const *worker_rows(const struct worker *w);

// The global step that the parameters are of; whether the training has made its steps; steps of this worker, of which
// so many were dropped.
uint64_t worker_global_step(const struct worker *w);
int worker_done(const struct worker *w);
uint64_t worker_local_step(const struct worker *w);
uint64_t worker_late(const struct worker *w);

// When it is ready and not done: makes the frame for one shard's part of a gradient, whose rows HAS(ARG, row) (of the
// network's) are to be written to *OUT one after the other. Then worker_push sends it: to each shard once, shard 0
// first.
struct packet *worker_frame(
	struct worker *w, uint32_t shard, int (*has)(const void *arg, size_t row), const void *arg, float **out);
void worker_push(struct worker *w, uint32_t shard, struct packet *packet, double now);

// Says goodbye to all servers. Over when all have answered or a few seconds have passed.
void worker_leave(struct worker *w, double now);
int worker_gone(const struct worker *w, double now);

#endif
