// Which rights a run needs in its namespace, and which of them are missing: the API server is asked for each verb
// (SelfSubjectAccessReview). It grants nothing: examples/kubernetes/role.yaml does, and has the same list.
#ifndef KUBE_ACCESS_REVIEW_H
#define KUBE_ACCESS_REVIEW_H

#include "kube/api_server.h"

#include <jansson.h>
#include <stdatomic.h>

// Of one resource ("pods/exec"); group "" is the core. The table ends with a row of NULLs.
struct access_right {
	const char *group, *resource;
	const char *verbs; // with blanks between them
};
extern const struct access_right access_review_rights[];

// What may not be done in the server's namespace: an array of {"group", "resource", "verbs": [...]}, empty when all may
// be, owned by the caller. resource not NULL: only that one is asked for. NULL and err when the server does not say.
json_t *access_review_missing(
	struct api_server *server, const char *resource, const atomic_bool *cancelled, struct error *err);

// "pods/exec (get, create), events (watch)". Owned by the caller.
char *access_review_print(const json_t *missing);

// Fails with ERROR_SYSTEM when something of this resource may not be done, and says what to do: for what would
// otherwise fail late and often. 0 when all may be.
int access_review_require(
	struct api_server *server, const char *resource, const atomic_bool *cancelled, struct error *err);

#endif
