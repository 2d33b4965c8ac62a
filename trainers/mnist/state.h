// A server's memory: parameters, moments, and what of whose it has applied, in a file that is mapped and holds all of
// it twice. A step is computed from one half into the other, then one word says which half is true. So a server killed
// at any instruction comes back with exactly the steps it had made, and making a step costs no copy. Not safe against
// the machine going down: what was not written to the disk then is lost, and such a file is refused.
#ifndef MNIST_STATE_H
#define MNIST_STATE_H
#include "mnist/job.h"

#include <stdatomic.h>

// What a worker's gradients have come to.
struct state_seat {
	uint64_t incarnation; // 0: none was here yet
	uint64_t last;        // sequence number of its last gradient that was dealt with
};

#define STATE_TORN UINT64_MAX

struct state_half {
	uint64_t step;            // steps made; STATE_TORN: it is being written, or never was
	uint64_t late;            // gradients dropped because their step was made already
	struct state_seat *seats; // [workers]
	float *params, *m, *v;    // job_floats() each
};

struct state {
	uint32_t shard;
	char *path; // NULL: in memory only
	int fd;
	struct state_file *file; // NULL: there is none yet
	size_t size;
	struct state_half *half; // [2]: views of the file; step and late go back to it with state_commit
};

// Finds what server SHARD left in directory DIR, if anything, and locks it; DIR may be NULL. Dies when what is there is
// not that, or another process holds it for longer than some seconds.
void state_open(struct state *s, const char *dir, uint32_t shard);
void state_close(struct state *s);

// Begins: initial parameters, no steps. There must be none yet.
void state_create(struct state *s, const struct job *job, uint64_t run);

const struct job *state_job(const struct state *s);
uint64_t state_run(const struct state *s);

// From now on it is to have so many steps.
void state_extend(struct state *s, uint64_t steps);

// The half that is true; the other one, which holds the step before if it is not torn; the same, to compute into, which
// tears it; and: that one is true now.
struct state_half *state_now(const struct state *s);
struct state_half *state_other(const struct state *s);
struct state_half *state_next(struct state *s);
void state_commit(struct state *s);

// The training is over: nothing is to be found next time.
void state_remove(struct state *s);

#endif
