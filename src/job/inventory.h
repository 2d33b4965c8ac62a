// An existing Ansible inventory, INI or YAML, read for what ssh needs: which hosts, and how each is reached.
// It runs no plugins and expands no templates: a value with {{ }} that matters is refused.
//
// Groups, children, variables of groups and hosts count as Ansible counts them (a host's own over its groups', a child
// group's over its parents'). Known are ansible_host, ansible_user, ansible_port, ansible_ssh_private_key_file (and
// their older names), and node_rank, which decides the order where it is there. What would change the way to a host and
// is not known (a password, arguments for ssh) is refused.
#ifndef JOB_INVENTORY_H
#define JOB_INVENTORY_H

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>

enum { INVENTORY_MAX_BYTES = 16 << 20 }; // of a file

// The hosts (as in job/hosts.h) of a group, or of all when group is NULL: an array, owned by the caller. NULL and err
// (ERROR_USAGE, "FILE:LINE: ..."). file stands for the text in errors; when it ends in .yaml, .yml or .json it is YAML.
json_t *inventory_parse(const char *text, size_t len, const char *file, const char *group, struct error *err);

#endif
