#include "controller/retry.h"

bool retry_allows(const struct retry *retry)
{
	return retry->state == STATE_RUNNING && !retry->preflight_only && retry->attempt <= retry->retries;
}
