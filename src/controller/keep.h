// A cluster that is kept up: its identity, the jobs that are on it, how many nodes it has. Private to src/controller.
// It brings no node up and ends none: course does, when asked here. A run that is not kept has none of this.
//
// identity.json in the run directory (0600): {"cert", "key", "secret", "port"}. A controller that takes over from one
// that died is the same to the nodes. control.json is touched every few seconds: from the last time on the nodes' lease
// counts.
#ifndef CONTROLLER_KEEP_H
#define CONTROLLER_KEEP_H

#include "base/crypto.h"
#include "base/error.h"
#include "wire/conn.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct course;
struct keep;

// Locks the run directory, so that a cluster has one controller, and reads the identity when there is one. NULL and err
// when another controller has it.
struct keep *keep_new(struct course *c, struct error *err);
void keep_free(struct keep *k); // after the loop; takes NULL

bool keep_resumes(const struct keep *k); // there was an identity
// The server of the old identity, or of a new one, which is written down then. NULL and err.
struct server *keep_serve(struct keep *k, struct error *err);
void keep_start(struct keep *k); // the loop is there
void keep_stop(struct keep *k);  // before the end of the loop

void keep_request(
	struct keep *k, struct conn *client, const json_t *msg); // what clients ask for; answered sooner or later
void keep_client_gone(struct keep *k, struct conn *client);

void keep_swept(struct keep *k, size_t node); // a node has removed what a job left there, or is not there any more

void keep_check(struct keep *k); // nodes came or went, or the executor is through: is what was asked for done?
void keep_failed(struct keep *k, const char *why); // the executor failed, or nodes did not come in time
void keep_held(struct keep *k);                    // all nodes are up
void keep_drain(struct keep *k);                   // ends the jobs that are on it

#endif
