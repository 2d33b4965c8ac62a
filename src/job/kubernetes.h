// The section `cluster.kubernetes`: what takes more than one of its keys, and the section as it stands in a plan.
// It makes no pods: kube/manifest.h does.
#ifndef JOB_KUBERNETES_H
#define JOB_KUBERNETES_H

#include "base/error.h"
#include "job/job_fields.h"

#include <jansson.h>
#include <stdbool.h>

// Checks the section and adds it to the plan, which has its times and steps by now; nothing where the executor makes no
// pods. site is that of job/site_file.h, or NULL. -1 and err (ERROR_USAGE, with the position) when it is not right.
int kubernetes_add(const struct job *job, const json_t *site, bool persistent, json_t *plan, struct error *err);

#endif
