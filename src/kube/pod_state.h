// What a pod, or an event about a pod or its Job, means for the node that is to be in it.
// Pure: it asks nobody. The objects come from outside and may be anything.
#ifndef KUBE_POD_STATE_H
#define KUBE_POD_STATE_H

#include <jansson.h>
#include <stdbool.h>

#define POD_STATE_CONTAINER "node" // the container that is the node; others were put beside it by the cluster

enum pod_state_kind {
	POD_STATE_WAITS, // it may start yet
	POD_STATE_RUNS,
	POD_STATE_NEVER, // it will not start, however long one waits
	POD_STATE_ENDED, // it ran and does not any more, or has been thrown out before it could
};

struct pod_state {
	enum pod_state_kind kind;
	bool leaves;   // it is being deleted
	bool away;     // its machine is out of reach
	bool homeless; // NEVER, unless the cluster gets a machine that has what it asks for
	char *why;     // what it waits for, why it never starts, has ended, leaves or is away; NULL: nothing to tell
};

// The why is one line, owned by the caller.
struct pod_state pod_state_read(const json_t *pod);
void pod_state_fini(struct pod_state *s);

enum pod_news_kind {
	POD_NEWS_NONE,
	POD_NEWS_WAITS,  // why a pod is not there yet
	POD_NEWS_PULLS,  // an image is on its way: that takes as long as it takes
	POD_NEWS_PULLED, // it is there
	POD_NEWS_FAILED, // something could not be had; the kubelet tries again
	POD_NEWS_GROWS,  // the cluster gets another machine for it: that takes minutes
	POD_NEWS_HELD,   // its Job is suspended
	POD_NEWS_TAKEN,  // a queue knows of its Job
	POD_NEWS_NEVER,
	POD_NEWS_ENDS, // why pods will be deleted
};

struct pod_news {
	enum pod_news_kind kind;
	const char *about, *name; // "Pod" or "Job"; belong to the event
	char *text;               // NULL: nothing to tell; owned by the caller
};

struct pod_news pod_state_news(const json_t *event);

#endif
