// Progress: where a run stands, put together event by event: its phases, its nodes, the latest metrics, what remains.
// It does no I/O and knows no terminal.
#ifndef TUI_RUN_PROGRESS_H
#define TUI_RUN_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { RUN_PROGRESS_LAST = 256 };

enum run_progress_state {
	RUN_PROGRESS_STARTING, // no hello yet
	RUN_PROGRESS_READY,
	RUN_PROGRESS_BUSY, // in a phase of its own: preflight, stage, setup, collect
	RUN_PROGRESS_RUNNING,
	RUN_PROGRESS_DONE,
	RUN_PROGRESS_FAILED, // one of its ranks did
	RUN_PROGRESS_LOST,
};

struct run_progress_phase {
	char *name;
	double begun;
	double seconds; // when it is over, else -1
};

struct run_progress_node {
	char *name, *address;                  // NULL before its hello
	enum run_progress_state state, before; // before: it was lost
	char phase[32];                        // of its own, when busy
	size_t running, ended;                 // ranks
	bool sampled;
	double cpu, memory;           // cores, bytes
	char last[RUN_PROGRESS_LAST]; // the newest line that one of its ranks printed
	size_t last_len, last_rank;
};

struct run_progress_rank {
	bool placed; // node is known
	size_t node;
	bool counts;                 // it has told how far it is
	double done, total, ts;      // as it said last, and when
	double first_done, first_ts; // the first time: what came before was warming up
};

struct run_progress_metric {
	char *name, *unit; // unit may be NULL
	double *values;    // by rank; NaN where there is none
	size_t nvalues;
};

struct run_progress {
	char *id, *executor;
	double begun; // 0 before the first event
	size_t size;  // how many ranks
	struct run_progress_phase *phases;
	struct run_progress_node *nodes;
	struct run_progress_rank *ranks;
	struct run_progress_metric *metrics;
	size_t nphases, nnodes, nmetrics;
	char *outcome, *why; // once it is over
	double seconds;
};

struct run_progress *run_progress_new(void);
void run_progress_free(struct run_progress *p);

// Takes in an event or a metric.
void run_progress_event(struct run_progress *p, const json_t *event);

// Takes in what a rank has printed (its newest line is remembered).
void run_progress_output(struct run_progress *p, size_t rank, const char *bytes, size_t len);

// How much of the work is done over all ranks that count, 0 to 1; -1 when none does.
double run_progress_share(const struct run_progress *p);

// Seconds until the slowest rank will have counted to its total at its own pace so far; -1 when that cannot be told
// yet.
double run_progress_left(const struct run_progress *p, double now);

// The mean of a metric over the ranks that gave it, and its range; returns how many ranks that are.
size_t run_progress_mean(const struct run_progress_metric *m, double *mean, double *least, double *most);

#endif
