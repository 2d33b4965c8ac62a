// The members of a map in a kubeconfig file: of the kind that is expected, or an error with its place.
// It knows no particular key.
#ifndef KUBE_KUBECONFIG_MEMBERS_H
#define KUBE_KUBECONFIG_MEMBERS_H

#include "base/error.h"
#include "job/yaml.h"

#include <stdbool.h>

// "FILE:LINE:COLUMN", owned by the caller.
char *kubeconfig_members_place(const struct yaml *node);

// A member that is there and not null. *found NULL: it is not, or map is NULL. -1 and err when it is of another kind.
int kubeconfig_members_find(
	const struct yaml *map, const char *key, enum yaml_kind kind, const struct yaml **found, struct error *err);

// Where the member is not there, a text, path or bytes stay as they are and a flag is false. where (may be NULL, but
// not of a flag) is its node, or NULL. What is given is owned by the caller. -1 and err for another kind.
int kubeconfig_members_text(const struct yaml *map, const char *key, char **text, const struct yaml **where,
	struct error *err); // not empty
int kubeconfig_members_flag(
	const struct yaml *map, const char *key, bool *flag, const struct yaml **where, struct error *err);
// A path, seen from the directory of the file that it stands in.
int kubeconfig_members_path(
	const struct yaml *map, const char *key, char **path, const struct yaml **where, struct error *err);
int kubeconfig_members_base64(const struct yaml *map, const char *key, char **bytes, struct error *err);

#endif
