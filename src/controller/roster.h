// The roster: which nodes are there, which ranks run, which phase the run as a whole is in, which fences are open.
// No I/O and no decisions: it counts and answers.
#ifndef CONTROLLER_ROSTER_H
#define CONTROLLER_ROSTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct roster_node {
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

struct roster_rank {
	size_t node;
	bool decides;
	enum rank_state state;
	int status, signal;
};

struct roster {
	struct roster_node *nodes;
	size_t nnodes;
	struct roster_rank *ranks;
	size_t nranks;
	json_t *fences; // open ones: name -> array by node (null: not there yet)
	json_t *met;    // the answers of the last fences, so that one that was lost on the way can be given again
};

void roster_init(struct roster *r, const json_t *plan);
void roster_fini(struct roster *r);
void roster_resize(struct roster *r, size_t nodes); // of a roster without ranks: from now on there are so many nodes

bool roster_all_hello(const struct roster *r);
bool roster_all_done(const struct roster *r);                 // every rank that decides has ended with status 0
bool roster_all_gone(const struct roster *r);                 // no node that ever said hello is expected any more
size_t roster_missing(const struct roster *r, size_t *first); // nodes that have not said hello, and the first of them

void roster_start_attempt(struct roster *r); // all ranks wait again, fences are forgotten

// Node's data (borrowed) for the fence of that name. The array for everybody (borrowed, valid until the next call) when
// it was the last one or the fence was complete before; NULL while others are missing, and for a node that has come to
// too many that nobody else comes to.
const json_t *roster_fence(struct roster *r, size_t node, const char *name, json_t *data);

// A node began or ended a phase. Is that the first beginning, or the last ending, of this phase in the whole run?
bool roster_phase(struct roster *r, size_t node, const char *name, bool begins);

#endif
