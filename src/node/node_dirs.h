// Where the local executor keeps its nodes: BASE/LABEL/{run.json, node-K/}.
// It starts and ends no process.
//
// BASE is $MUSTER_NODES_DIR, else ${TMPDIR:-/tmp}/muster-UID: a directory of this user that nobody else may enter. Runs
// are looked for in /tmp too when TMPDIR says otherwise, because the run may have been started with another
// environment.
//
//   run.json  {"label", "run_dir", "controller": {"pid", "started"}, "cgroups": [directories], "agent": {"pid",
//             "started"}}
//             or, where a bridge made it for a controller elsewhere, {"label", "remote": true}
#ifndef NODE_NODE_DIRS_H
#define NODE_NODE_DIRS_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

char *node_dirs_base(void); // owned by the caller; need not exist

// Can the base directory be used, or made? Touches nothing.
int node_dirs_check(struct error *err);

// The directory of a run, made if missing (0700) with the base and with record as its run.json, which appears together
// with the directory. Owned by the caller.
char *node_dirs_make(const char *label, const json_t *record, struct error *err);

// Replaces run.json.
int node_dirs_save(const char *dir, const json_t *record, struct error *err);

// The run.json of a run's directory; NULL when there is none that can be read.
json_t *node_dirs_record(const char *dir);

// {"pid", "started"}: does that process live?
bool node_dirs_alive(const json_t *process);

// The directories of a run (label) or of all runs (NULL) below every base: an array of absolute paths, owned by the
// caller.
json_t *node_dirs_find(const char *label);

// The directories of the nodes in a run's directory: an array of paths, owned by the caller.
json_t *node_dirs_nodes(const char *dir);

// A node's directory whose outputs did not all come back is marked when its agent goes: only who asks for it to be
// removed removes it.
int node_dirs_keep(const char *node, struct error *err);
bool node_dirs_is_kept(const char *node);
bool node_dirs_is_mark(const char *name); // of the file in it that is the mark

// Does the controller of this run live? One that is elsewhere does: its agents' lease knows better; but it does not
// where a node's directory is kept and no agent is left. A directory without a record counts as live for its first
// seconds: it may be about to get one.
bool node_dirs_live(const char *dir);

// Removes a run's directory, and the base when that is empty and was not chosen by the user.
int node_dirs_remove(const char *dir, struct error *err);

// The same, but nodes' directories that are kept stay, and run.json with them.
int node_dirs_remove_but_kept(const char *dir, struct error *err);

// The executable that is a node's agent here: $MUSTER_AGENT, else the one beside this program. Owned by the caller.
char *node_dirs_agent(void);

#endif
