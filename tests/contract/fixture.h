// One run of stand-ins for agents under an executor: its plan, its directory, what the stand-ins say and what they are.
// What differs between the executors is here too, in kinds[]; what they promise is not: that is contract_test.c.
#ifndef CONTRACT_FIXTURE_H
#define CONTRACT_FIXTURE_H

#include "exec/executor.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define FIXTURE_DEADLINE 20.0 // seconds

// What differs between the executors, as far as these tests see it.
struct fixture_kind {
	const char *name;
	size_t things;    // that three nodes consist of, at the least
	size_t addresses; // that two runs of three nodes have together
	size_t many; // nodes that cannot start, once more than can be told before somebody reads it, where that is one
		     // text for all
	bool claims; // addresses, by a descriptor
	bool groups; // control groups of this machine, for the ranks and not the agent
	void (*dress)(json_t *plan); // what its plans have besides
};

// The one of this name; NULL when there is none.
const struct fixture_kind *fixture_find_kind(const char *name);

enum fixture_stop { FIXTURE_GO_ON, FIXTURE_CANCEL, FIXTURE_KILL }; // the run; this process, with SIGKILL

struct fixture {
	const struct executor *row; // the executor under test
	const struct fixture_kind *kind;
	char *dir, *url, *nodes, *label;
	struct cluster c; // of three nodes
	atomic_bool cancelled;
	enum fixture_stop stop; // when up asks for the token of the node stop_at
	size_t stop_at;
};

int fixture_set_up(void **state); // *state is a struct executor, then a struct fixture; fixtures of cmocka
int fixture_tear_down(void **state);

// So many nodes, with these limits where they are more than 0.
void fixture_use_plan(struct fixture *f, size_t nodes, double cpus, long long memory);

char *fixture_token(size_t node); // of a node; owned by the caller

// How the stand-ins are to behave: see standin.c. NULL: as usual.
void fixture_wish(const struct fixture *f, const char *name, const char *text);

// --- what the stand-ins say -------------------------------------------------

// The hello of node K, NULL when it does not come in so many seconds; a reference of the caller's.
json_t *fixture_hello(const struct fixture *f, size_t k, double seconds);

const char *fixture_text(const json_t *hello, const char *name);
long fixture_number(const json_t *hello, const char *name);

struct fixture_process {
	pid_t pid;                  // in this name space; 0: there is none
	unsigned long long started; // another process may have the pid later
};

// The process that a hello calls by this name.
struct fixture_process fixture_find_process(const json_t *hello, const char *name);

bool fixture_is_alive(struct fixture_process process);
void fixture_assert_gone(struct fixture_process process); // before the deadline

#endif
