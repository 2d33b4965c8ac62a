// Which files of a node are to be brought back: a walk through its output directory, as the job's patterns say.
// It copies nothing, and it may take long: it is for a process of its own.
//
// A file comes back when a pattern (base/glob.h) matches it or a directory above it. A symbolic link comes back as a
// link when what it leads to comes back too; else as what it leads to, if that is below the output directory.
#ifndef NODE_COLLECT_H
#define NODE_COLLECT_H

#include "base/error.h"
#include "base/glob.h"

#include <stdbool.h>
#include <stdint.h>

// Paths are below the output directory, in bytes as the file system has them.
struct collect_ops {
	// A regular file. from: where its bytes are, another path than its own where a link was followed.
	void (*on_file)(const char *path, const char *from, uint64_t size, unsigned mode, void *data);
	void (*on_link)(const char *path, const char *target, void *data);
	void (*on_failed)(const char *path, const char *why, void *data);  // something is there and cannot be read
	void (*on_skipped)(const char *path, const char *why, void *data); // it matches, and is nothing to bring back
	void (*on_progress)(void *data);                                   // now and then; may be NULL
};

// Walks through dir in bounded memory, however many files there are. Names come in order where a directory has but a
// few thousand.
void collect_walk(const char *dir, struct glob *globs, const struct collect_ops *ops, void *data);

#endif
