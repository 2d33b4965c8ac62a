// The roster: which nodes are there, which ranks run, which phase the run as a whole is in, which fences are open.
// No I/O and no decisions: it counts and answers.
#ifndef CONTROLLER_MEMBERSHIP_H
#define CONTROLLER_MEMBERSHIP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct membership_node {
	bool hello;          // has said hello once
	bool away;           // said hello, but its connection is down now
	bool left;           // its last event has come
	bool gone;           // nothing more is expected from it: everything has arrived, or it is lost
	size_t first, count; // its ranks
	json_t *said;        // its hello
	size_t phase;        // 1 + index of the last phase it began, 0 before the first
	bool phase_open;
	size_t fences; // open ones it has come to
};

enum rank_state { RANK_WAITS, RANK_RUNS, RANK_ENDED };

struct membership_rank {
	size_t node;
	bool decides;
	enum rank_state state;
	int status, signal;
};

struct membership {
	struct membership_node *nodes;
	size_t nnodes;
	struct membership_rank *ranks;
	size_t nranks;
	json_t *fences; // open ones: name -> array by node (null: not there yet)
	json_t *met;    // the answers of the last fences, so that one that was lost on the way can be given again
};

void membership_init(struct membership *r, const json_t *plan);
void membership_fini(struct membership *r);
void membership_resize(
	struct membership *r, size_t nodes); // of a roster without ranks: from now on there are so many nodes

bool membership_all_hello(const struct membership *r);
bool membership_all_done(const struct membership *r); // every rank that decides has ended with status 0
bool membership_all_gone(const struct membership *r); // no node that ever said hello is expected any more
size_t membership_missing(
	const struct membership *r, size_t *first); // nodes that have not said hello, and the first of them

void membership_start_attempt(struct membership *r); // all ranks wait again, fences are forgotten

// Node's data (borrowed) for the fence of that name. The array for everybody (borrowed, valid until the next call) when
// it was the last one or the fence was complete before; NULL while others are missing, and for a node that has come to
// too many that nobody else comes to.
const json_t *membership_fence(struct membership *r, size_t node, const char *name, json_t *data);

// A node began or ended a phase. Is that the first beginning, or the last ending, of this phase in the whole run?
bool membership_phase(struct membership *r, size_t node, const char *name, bool begins);

#endif
