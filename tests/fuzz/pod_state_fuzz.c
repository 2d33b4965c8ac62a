// Any JSON as a pod and as an event: the answer is one line of bounded length.
#include "kube/pod_state.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text)
{
	assert(!text || (strlen(text) < 700 && !strpbrk(text, "\n\r\t\033")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *object = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);
	if (!object)
		return 0;
	struct pod_state s = pod_state_read(object);
	check(s.why);
	assert(s.kind != POD_STATE_NEVER || s.why);
	assert(s.kind != POD_STATE_ENDED || s.why);
	pod_state_fini(&s);
	struct pod_news news = pod_state_news(object);
	check(news.text);
	assert(news.kind != POD_NEWS_NEVER || news.text);
	free(news.text);
	json_decref(object);
	return 0;
}
