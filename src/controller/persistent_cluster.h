// A cluster that stays up: its identity, the jobs on it, its number of nodes. Private to src/controller.
// It starts and stops no node: it asks the run it is part of, through an ops struct. Other runs have none of this.
//
// identity.json in the run directory (0600): {"cert", "key", "secret", "port"}. A controller that takes over from one
// that died is the same to the nodes. control.json is touched every few seconds: from the last time on the nodes' lease
// counts.
#ifndef CONTROLLER_PERSISTENT_CLUSTER_H
#define CONTROLLER_PERSISTENT_CLUSTER_H

#include "base/error.h"
#include "base/loop.h"
#include "controller/membership.h"
#include "controller/server.h"
#include "controller/state_table.h"
#include "run/run.h"
#include "wire/conn.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What the cluster asks of the run that it is part of. All members are required.
struct persistent_cluster_ops {
	void (*record)(json_t *event, void *data); // writes it into the run directory; takes the event
	void (*dispatch)(enum happening happening, void *data);
	bool (*is_up)(void *data);   // the state is the one in which jobs may come
	bool (*is_busy)(void *data); // the executor makes or removes nodes
	void (*send_bye)(size_t node, void *data);
	void (*resize)(const json_t *plan, size_t nodes, void *data); // borrowed, valid until the next call
};

struct persistent_cluster_options {
	struct run *run;
	const json_t *plan;
	const struct membership *membership;
	const struct persistent_cluster_ops *ops;
	void *data; // of the ops
};

struct persistent_cluster;

// Locks the run directory, so that a cluster has one controller, and reads the identity when there is one. NULL and err
// when another controller has it.
struct persistent_cluster *persistent_cluster_new(const struct persistent_cluster_options *options, struct error *err);
void persistent_cluster_free(struct persistent_cluster *k); // after the loop; takes NULL

bool persistent_cluster_resumes(const struct persistent_cluster *k);       // there was an identity
const char *persistent_cluster_secret(const struct persistent_cluster *k); // of the identity, or NULL
// The server of the old identity, or of a new one, which is then saved; identity and port of the options are set here.
// NULL and err.
struct server *persistent_cluster_serve(
	struct persistent_cluster *k, struct loop *loop, struct server_options options, struct error *err);
void persistent_cluster_start(struct persistent_cluster *k, struct loop *loop);
void persistent_cluster_stop(struct persistent_cluster *k); // before the end of the loop

void persistent_cluster_request(struct persistent_cluster *k, struct conn *client,
	const json_t *msg); // what clients ask for; answered sooner or later
void persistent_cluster_client_gone(struct persistent_cluster *k, struct conn *client);

// What jobs left on the nodes when their controllers were killed is removed there, job by job: a node is waited for
// until it has said so itself. One that is away is asked again when it is back; one that is lost is given up.
void persistent_cluster_node_cleaned(struct persistent_cluster *k, size_t node, uint32_t errand, bool ok);
void persistent_cluster_node_away(struct persistent_cluster *k, size_t node);
void persistent_cluster_node_back(struct persistent_cluster *k, size_t node);
void persistent_cluster_node_lost(struct persistent_cluster *k, size_t node);

void persistent_cluster_check(
	struct persistent_cluster *k); // nodes came or went, or the executor is through: is what was asked for done?
void persistent_cluster_failed(
	struct persistent_cluster *k, const char *why);      // the executor failed, or nodes did not come in time
void persistent_cluster_ready(struct persistent_cluster *k); // all nodes are up
void persistent_cluster_drain(struct persistent_cluster *k); // ends the jobs that are on it

#endif
