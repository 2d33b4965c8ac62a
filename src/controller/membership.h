// The members of a run: which nodes are connected, which ranks run, which phase the run is in, which fences are open.
// No I/O and no decisions: it counts and answers. An event of one node costs the same however many nodes there are.
#ifndef CONTROLLER_MEMBERSHIP_H
#define CONTROLLER_MEMBERSHIP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { MEMBERSHIP_PHASES = 5, MEMBERSHIP_CHECKED }; // the last: a node that was only to be checked, and has been

// hello, gone and phase are counted: only the functions below set them.
struct membership_node {
	bool hello;          // has said hello once
	bool away;           // said hello, but its connection is down now
	bool left;           // its last event has come
	bool terminated;     // was told to stop by somebody else, and leaves
	char *lost_why;      // what the executor says of that, while it still leaves; or NULL
	bool gone;           // nothing more is expected from it: everything has arrived, or it is lost
	size_t first, count; // its ranks
	json_t *said;        // its hello
	size_t phase;        // 1 + index of the last phase it began, 0 before the first
	bool phase_open;
	size_t fences; // open ones it has come to
};

// How many nodes are in a phase, and of those that are not gone: how many are, and have not ended it.
struct membership_phase_count {
	size_t nodes, present, open;
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
	size_t silent, expected; // nodes that have not said hello; that have, and are not gone
	size_t undone;           // ranks that decide and have not ended with status 0
	struct membership_phase_count phases[MEMBERSHIP_CHECKED + 1];
	json_t *fences;    // open ones: name -> {"all": array by node, "count": how many nodes have come}
	json_t *not_there; // stands in these arrays for what a node has yet to bring
	json_t *met;       // the answers of the last fences, so that one that was lost on the way can be given again
};

void membership_init(struct membership *r, const json_t *plan);
void membership_fini(struct membership *r);
void membership_resize(
	struct membership *r, size_t nodes); // of a membership without ranks: from now on there are so many nodes

void membership_set_hello(struct membership *r, size_t node, bool hello);
void membership_set_gone(struct membership *r, size_t node, bool gone);
void membership_set_checked(struct membership *r, size_t node);
void membership_set_rank(struct membership *r, size_t rank, enum rank_state state, int status, int signal);

bool membership_all_hello(const struct membership *r);
bool membership_all_checked(const struct membership *r);
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
