// The pods of one run as the API server tells of them: which run, what the others wait for, why one has gone.
// It makes no pods and opens no tunnels: exec/kubernetes.c does.
//
// It watches the pods and the events of a namespace on threads of its own. All functions may be called by any thread.
#ifndef EXEC_RUN_PODS_H
#define EXEC_RUN_PODS_H

#include "base/error.h"
#include "kube/api_server.h"
#include "kube/pod_state.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct run_pods;

// The pod of this Job that was node K has ended, or has been out of reach for 10 s and its tunnel too: why, for people.
// leaves: it is only told to end, and does so in its grace. Once each for each pod, on a thread of run_pods.
typedef void (*run_pods_on_end)(const char *job, size_t node, const char *why, bool leaves, void *data);

// Knows all pods of the run that there are when it returns. Borrows the server.
struct run_pods *run_pods_start(struct api_server *server, const char *label, run_pods_on_end on_end, void *data,
	const atomic_bool *cancelled, struct error *err);
void run_pods_stop(struct run_pods *p); // takes NULL

struct run_pod {
	enum pod_state_kind kind;
	bool there;  // false: there is no pod yet; why may tell why
	bool held;   // there is none, and all that is known of its Job is that it is suspended
	bool taken;  // a queue knows of its Job
	bool leaves; // it is being deleted
	bool pulls;  // its image is on the way
	bool grows;  // the cluster gets a machine for it
	char *name;  // NULL when it is not there
	char *why;   // NULL: nothing to tell
};

// What is known of the pod of node K that this Job makes. run_pods_fini_pod frees what is in it.
struct run_pod run_pods_find(struct run_pods *p, const char *job, size_t node);
void run_pods_fini_pod(struct run_pod *pod);

// Calls back for each pod there is, with the name of its Job; not for one that has ended. Not to call others of this
// header meanwhile.
void run_pods_each(struct run_pods *p,
	void (*each)(const char *job, size_t node, const struct run_pod *pod, void *data), void *data);

// The tunnel of this pod is broken, or is whole again.
void run_pods_set_cut(struct run_pods *p, const char *job, size_t node, bool cut);

// Its agent is not there any more: if the cluster does not say within moments why, that is the reason.
void run_pods_expect_end(struct run_pods *p, const char *job, size_t node, const char *why);

// Waits until something has changed since the last call, or so many seconds.
void run_pods_wait(struct run_pods *p, double seconds);
void run_pods_wake(struct run_pods *p); // something else has changed

// Why the API server does not let us see the pods (it said no); empty: it does.
bool run_pods_is_refused(struct run_pods *p, struct error *err);

#endif
