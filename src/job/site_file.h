// The user's site file: defaults for every job on this site.
// It names no job and no node.
#ifndef JOB_SITE_FILE_H
#define JOB_SITE_FILE_H

#include "base/error.h"

#include <jansson.h>

// Reads and checks a site file: an object with those of "deadline", "heartbeat", "lease", "grace" and
// "kubernetes_deadline" (numbers, seconds) that it sets, and "place", FILE:LINE:COLUMN of the lease (without one, of
// the heartbeat), for errors. Owned by the caller. NULL and err as job_load.
json_t *site_file_load(const char *path, struct error *err);
json_t *site_file_parse(const char *text, size_t len, const char *name, struct error *err);

#endif
