// A rank: one process of the job (or one setup step), its output, its metrics, its end.
// It decides nothing: who starts it hears when it has ended and everything it printed is read.
#ifndef AGENT_RANK_H
#define AGENT_RANK_H

#include "base/error.h"
#include "base/loop.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct rank;

struct rank_options {
	const json_t *argv; // array of strings
	const json_t *env;  // object of strings, on top of the agent's own environment
	const char *dir;
	const char *cgroups; // NULL for none
	bool metrics;        // give it MUSTER_METRICS_FD
	int in;              // becomes its standard input (not taken); -1: nothing to read there
	int pmi;             // an end of a socket pair to give it as PMI_FD (taken), or -1
	bool (*on_output)(const void *bytes, size_t len, void *data); // false: no room, go on after rank_resume
	bool (*on_metric)(const char *line, size_t len, void *data);  // likewise
	// Exit status or -1, signal or 0. The rank is not freed.
	void (*on_exit)(int status, int signal, void *data);
	void *data;
};

struct rank *rank_start(struct loop *loop, const struct rank_options *options, struct error *err);
void rank_free(struct rank *rank); // kills it if it still runs, and waits a second for its end; takes NULL
pid_t rank_pid(const struct rank *rank);
void rank_signal(struct rank *rank, int signal); // to all its process group
void rank_resume(struct rank *rank);

#endif
