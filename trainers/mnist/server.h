// A parameter server: keeps one shard, applies each gradient once, and answers with the parameters. Frames in, frames
// out. Not the transport (wire.h) and not the file (state.h).
//
// Asynchronous: a gradient is N steps old when so many steps were made since its parameters were sent. Against what
// that does to a training,
// - the older it is, the less it counts: its step's rate, and its weight in Adam's first moment, are divided by 1 + N
//   (after Zhang, Gupta, Lian
//   and Liu 2016, who divide the rate by N; with two workers N is mostly 1, so that here the gradient's own step is
//   counted too);
// - parameters are sent as they are expected to be when their gradient comes back: as many more steps of Adam in the
//   same direction as there are
//   other workers at work (after Hakimi, Barkai, Gabel and Schuster 2019, and for Adam Guan, Yin, Li and Lu 2019).
// Where one worker is at work, N is 0 and nobody else is, so both change nothing. Synchronous training has neither.
#ifndef MNIST_SERVER_H
#define MNIST_SERVER_H
#include "mnist/frame.h"
#include "mnist/state.h"

// Whom an answer goes to: the transport's own name for it.
struct server_peer {
	unsigned char name[32];
	size_t size;
};

// How it reaches the world. SEND takes the packet.
struct server_world {
	void *arg;
	void (*send)(void *arg, const struct server_peer *to, struct packet *packet);
	void (*say)(void *arg, const char *text); // one line for the log
};

struct server;

// Server SHARD of SHARDS with WORKERS workers. STATE is the caller's and outlives it. RUN is a random number, for the
// case that a training begins. Caller frees.
struct server *server_new(uint32_t shard, uint32_t shards, uint32_t workers, struct state *state, uint64_t run,
	struct server_world world);
void server_free(struct server *s);

// A packet from a worker, or from anybody. The caller still holds it. NOW is seconds of a clock that does not jump.
void server_take(struct server *s, const struct server_peer *from, struct packet *packet, double now);

// To be called every second or so.
void server_tick(struct server *s, double now);

// Whether the training is over and every worker has gone: nothing more will come.
int server_finished(const struct server *s);

// The shard's steps and its dropped gradients so far; whether it has made all its steps.
uint64_t server_step(const struct server *s);
uint64_t server_late(const struct server *s);
int server_over(const struct server *s);

#endif
