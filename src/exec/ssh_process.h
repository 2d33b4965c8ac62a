// One run of the user's own ssh: how it is called, how it ended, what it said last.
// It knows no agents: what is run on the host is the caller's.
//
// The user's configuration, agent, jump hosts and known hosts are in force. It never asks (BatchMode) and never
// overrides the checking of host keys.
#ifndef EXEC_SSH_PROCESS_H
#define EXEC_SSH_PROCESS_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct ssh_process {
	pid_t pid; // 0: none
	int fd;    // a pidfd
	int said;  // a file in memory with its standard error
};

// Starts ssh to host ({"host", "user"?, "port"?, "key"?} as in the plan), which runs script, a line without ' \ and !,
// in /bin/sh, whatever the login shell is. in and out are its standard input and output. connect: seconds for the
// connection to come about. It is killed when the calling thread ends.
int ssh_process_start(struct ssh_process *s, const json_t *host, const char *script, int in, int out, double connect,
	struct error *err);

// Waits so long, then kills it. Returns its exit status, 255 when it was ssh itself that failed or that was killed.
// *words, owned by the caller, is the last thing it said ("" for nothing).
int ssh_process_end(struct ssh_process *s, double seconds, char **words);

// The name of a host for people: "user@host:port" as far as these are given. Owned by the caller.
char *ssh_process_name(const json_t *host);

#endif
