// List and watch: every object of a collection, and every change to it, on a thread of its own.
// It does not know what the objects are for.
//
// A watch ends for many reasons and is begun again where it was; where the server does not know that place any more
// (410, an answer without a line) the collection is listed anew, and what is not in the list has been deleted
// meanwhile.
#ifndef KUBE_WATCH_H
#define KUBE_WATCH_H

#include "base/error.h"
#include "kube/api_server.h"

#include <jansson.h>
#include <stdbool.h>

enum watch_change {
	WATCH_SEEN, // it is there, for the first time or changed
	WATCH_GONE, // it was deleted; the object is as it was last
};

// Both are called on the thread of the watch.
struct watch_ops {
	void (*on_object)(enum watch_change change, const json_t *object, void *data);
	// It cannot list or watch at the moment, and tries again. status is that of the answer, or -1.
	void (*on_trouble)(int status, const struct error *err, void *data);
};

struct watch_options {
	struct api_server *server;
	const char *path; // of the collection, with its query: "/api/v1/namespaces/x/pods?labelSelector=a%3Db"
	bool news_only;   // what is there already is not told: for events
	double pause;     // seconds before the second try, twice as long each time and jittered; 0: 0.25
	const struct watch_ops *ops;
	void *data;
};

struct watch;

// Starts the thread; the path is copied, the server and ops are not. It returns when what happens from now on will be
// seen: the collection was listed; or -1, when it could not be. *cancelled may be NULL.
struct watch *watch_start(const struct watch_options *options, const atomic_bool *cancelled, struct error *err);

// No callback comes after this has returned. Takes NULL.
void watch_stop(struct watch *w);

#endif
