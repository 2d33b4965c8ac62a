// The setup steps of a plan, from those of a job.
// It does none of them: agent/setup does. That of an image is containers'.
#ifndef JOB_STEPS_H
#define JOB_STEPS_H

#include "job/job.h"
#include "job/plan_placeholders.h"

#include <jansson.h>

// "setup" of plan.h, owned by the caller; NULL and the scope's error, see there. scope: that of a setup command.
json_t *steps_make(const struct job *job, const struct plan_placeholders *scope);

// The beginning of a command, for messages; owned by the caller.
char *steps_title(const struct field_command *command);

#endif
