// Processes of this machine: clean children, and others recognised by pid and start time.
// It waits for nobody: the loop watches pidfds.
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

// Start time of a process in clock ticks since boot, 0 when there is none (also for a zombie). A pid alone may be
// reused; a pair is not.
unsigned long long proc_started(pid_t pid);
bool proc_alive(pid_t pid, unsigned long long started);

// Waits for a child that was killed. False: it is not gone yet, as one that waits for a disk or a file server is not.
bool proc_reap(pid_t pid, double seconds);

struct proc_options {
	char *const *argv; // NULL-ended; argv[0] is searched in the PATH of env
	char *const *env;  // NULL-ended "K=V"; NULL means the caller's own
	const char *dir;   // working directory or NULL
	int in, out, err;  // descriptors to become 0, 1, 2; -1 is /dev/null
	const int *keep;   // further descriptors, which become 3, 4, ... in the child, ended by -1; NULL for none. All
			   // others are closed.
	bool group;        // own process group
	bool session;      // own session (implies a group)
	bool tty;          // descriptor 0 becomes the controlling terminal (needs session)
	bool die_with_parent; // SIGKILL when the calling thread's process ends
	const char *cgroups;  // cgroup.procs files to enter, separated by ':'; NULL for none
};

// This process may open as many files as it is ever allowed to; what proc_spawn starts gets the limit that was there
// before.
void proc_raise_files(void);

// Starts a child with default signal handling. Returns its pid; -1 when it cannot be started, and err says what (also a
// failing exec: "cannot run 'x': No such file or directory"). *pidfd, when asked for, is owned by the caller.
pid_t proc_spawn(const struct proc_options *options, int *pidfd, struct error *err);

// Does the environment of a process hold the word "NAME=VALUE"?
bool proc_carries(pid_t pid, const char *word);

// Every process whose environment holds the word "NAME=VALUE", except the caller. *pids is owned by the caller; returns
// how many.
size_t proc_find(const char *word, pid_t **pids);

// pid and all its descendants now alive (children first); same ownership.
size_t proc_tree(pid_t pid, pid_t **pids);

// The same for many at once; each process is there once.
size_t proc_trees(const pid_t *roots, size_t count, pid_t **pids);

// The path of the program that this process runs. Owned by the caller.
char *proc_program(void);

// The same text for processes that share memory (one kernel, one IPC name space, one /dev/shm); where that cannot be
// known a text that no other process has. Owned by the caller.
char *proc_machine(void);

#endif
