// Brings one commit of a git repository into a directory, by the user's own git: its configuration, its credentials,
// its ssh. It keeps no repository: what is there afterwards are the files of the commit.
#ifndef CONTROLLER_GIT_FETCH_H
#define CONTROLLER_GIT_FETCH_H

#include "base/error.h"

#include <stdatomic.h>

enum { GIT_FETCH_COMMIT = 65 }; // room for a commit's name with its NUL

// from: "git+https://HOST/PATH#REF" (also http, ssh, file); REF is a branch, a tag or a whole commit, and the
// repository's HEAD when missing. dir is an empty directory. Fetches no more history than it must. May take long:
// another thread may set *cancelled. Nobody is asked for a password. -1 and err, with what git said.
int git_fetch_run(const char *from, const char *dir, const atomic_bool *cancelled, char commit[GIT_FETCH_COMMIT],
	struct error *err);

#endif
