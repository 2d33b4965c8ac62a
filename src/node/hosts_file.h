// The names of other nodes in a file as /etc/hosts, for a node whose names nobody else resolves.
// It looks nothing up.
#ifndef NODE_HOSTS_FILE_H
#define NODE_HOSTS_FILE_H

#include "base/error.h"

#include <jansson.h>

// Has the file end with a line for each peer ({"name", "address"}) that has a name, in place of those of before; what
// others wrote stays. It is written where it is, because in a container it is a mount of its own. -1 and err when it
// cannot be written.
int hosts_file_set(const char *path, const json_t *peers, struct error *err);

#endif
