// What a run says: the lines of its log, as such jobs have always written them, and its metrics.
// Not a log of frames: those modules say what they have to say through journal_say.
#ifndef MNIST_JOURNAL_H
#define MNIST_JOURNAL_H
#include "common/rank.h"
#include "mnist/model.h"

#include <stdint.h>

struct journal {
	char name[40]; // "Worker 0"
	struct rank rank;
	double begun, said; // seconds since 1970
};

// NAME and INDEX ("Worker", 0), or NAME alone with INDEX -1. Reads the environment that muster sets.
void journal_init(struct journal *j, const char *name, long index);

// One line that begins with the time and the name. Text as for printf.
void journal_say(struct journal *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Training begins, and ends with the time it took.
void journal_begin(struct journal *j);
void journal_end(struct journal *j);

// A step is done: a line and the metric loss, but at most ten times a second, unless this is the LAST one.
void journal_step(struct journal *j, uint64_t local, uint64_t global, double loss, int last);

// The score after GLOBAL steps: a line, and the metrics test_accuracy and test_loss.
void journal_score(struct journal *j, struct model_score score, uint64_t global);

#endif
