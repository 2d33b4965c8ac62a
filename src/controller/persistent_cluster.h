// A cluster that is kept up: its identity, the jobs that are on it, how many nodes it has. Private to src/controller.
// It brings no node up and ends none: course does, when asked here. A run that is not kept has none of this.
//
// identity.json in the run directory (0600): {"cert", "key", "secret", "port"}. A controller that takes over from one
// that died is the same to the nodes. control.json is touched every few seconds: from the last time on the nodes' lease
// counts.
#ifndef CONTROLLER_PERSISTENT_CLUSTER_H
#define CONTROLLER_PERSISTENT_CLUSTER_H

#include "base/crypto.h"
#include "base/error.h"
#include "wire/conn.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct lifecycle;
struct persistent_cluster;

// Locks the run directory, so that a cluster has one controller, and reads the identity when there is one. NULL and err
// when another controller has it.
struct persistent_cluster *persistent_cluster_new(struct lifecycle *c, struct error *err);
void persistent_cluster_free(struct persistent_cluster *k); // after the loop; takes NULL

bool persistent_cluster_resumes(const struct persistent_cluster *k); // there was an identity
// The server of the old identity, or of a new one, which is written down then. NULL and err.
struct server *persistent_cluster_serve(struct persistent_cluster *k, struct error *err);
void persistent_cluster_start(struct persistent_cluster *k); // the loop is there
void persistent_cluster_stop(struct persistent_cluster *k);  // before the end of the loop

void persistent_cluster_request(struct persistent_cluster *k, struct conn *client,
	const json_t *msg); // what clients ask for; answered sooner or later
void persistent_cluster_client_gone(struct persistent_cluster *k, struct conn *client);

void persistent_cluster_node_reaped(struct persistent_cluster *k,
	size_t node); // a node has removed what a job left there, or is not there any more

void persistent_cluster_check(
	struct persistent_cluster *k); // nodes came or went, or the executor is through: is what was asked for done?
void persistent_cluster_failed(
	struct persistent_cluster *k, const char *why);      // the executor failed, or nodes did not come in time
void persistent_cluster_held(struct persistent_cluster *k);  // all nodes are up
void persistent_cluster_drain(struct persistent_cluster *k); // ends the jobs that are on it

#endif
