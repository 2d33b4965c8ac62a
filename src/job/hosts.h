// Hosts in a job file: names with users, ports and ranges, or those of an inventory file.
// It does not look any name up.
//
// A host is {"host", "user"?, "port"?, "key"?}: what is given to ssh.
#ifndef JOB_HOSTS_H
#define JOB_HOSTS_H

#include "base/error.h"

#include <jansson.h>

// The names a pattern stands for: "node[0-15]", "node[01:16]", "r[1-2]n[1-4]"; numbers are as wide as the first one is
// written. An array of texts, owned by the caller; NULL and err.
json_t *hosts_expand(const char *pattern, struct error *err);

// The hosts of "[USER@]NAME[:PORT]" with ranges in NAME; "[v6::address]:port" too. Appends to list; -1 and err.
int hosts_add(json_t *list, const char *text, struct error *err);

// May a name be given to ssh? Not when ssh or a shell could take it for something else.
int hosts_check_name(const char *name, struct error *err);

#endif
