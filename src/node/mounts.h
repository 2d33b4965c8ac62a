// What a node has mounted for its run: written down before it is done, so that any process can undo it.
// It mounts nothing itself; helper/setup_step.h does, as root.
//
// DIR/mounts.json, in the directory of a node: [{"to": "/mnt/x", "made": "/mnt", "id": 42}, ...]. made: the first of
// the directories that were missing; id: the kernel's number of the mount, once it is there. Nodes of one run on one
// machine (DIR/../node-*) may share a mount: each has it in its file, and the last one undoes it.
#ifndef NODE_MOUNTS_H
#define NODE_MOUNTS_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

// What is mounted at the path, for people ("host:/x (nfs4)"), owned by the caller; NULL when nothing is.
char *mounts_find(const char *to);

// Has another node of this run mounted it, or is about to?
bool mounts_shared(const char *dir, const char *to);

// Between these two no other node of this run on this machine makes or undoes a mount. Returns a descriptor; -1 while
// another one does.
int mounts_lock(const char *dir);
void mounts_unlock(int lock);

// With the lock: notes that `to` (absolute) will be mounted, or shared, and makes its directories; notes that it is.
int mounts_note(const char *dir, const char *to, struct error *err);
int mounts_done(const char *dir, const char *to, struct error *err);

// As root: takes back all that dir notes but for what other nodes share, waiting for the lock. What is in use is taken
// out of sight at once, and away when nobody uses it any more. Directories go only when they are empty.
int mounts_undo(const char *dir, struct error *err);

// As root: who waits for the server of something that dir notes waits no longer, its requests fail. The kernel ends no
// process before that, not even a killed one. What nobody uses is unmounted by it. Without the lock, which one of those
// may hold.
void mounts_abort(const char *dir);

// mounts_undo by anybody, in a process of its own, by sudo where this one is not root. program: the agent's; where it
// is not there this one is taken for it. Nothing noted is no error.
int mounts_clean(const char *dir, const char *program, struct error *err);

// mounts_abort likewise; false when nothing is noted, or it could not be done.
bool mounts_unblock(const char *dir, const char *program);

#endif
