// A plan: exactly what will happen, as a JSON tree: every node, every rank, every argv, every file. Made by a pure
// function. It knows no address yet and touches nothing; after it nobody looks at the job again.
//
//   { "plan": 1, "name": "dcgan", "executor": "local", "launch": "none"|"torch"|"ps"|"mpi", "size": 2,
//     "nodes":  [ {"node": 0, "name": "node-0", "role": "worker", "index": 0, "cpus": 0.5|null, "memory":
//         131072000|null,
//                  "image": "debian:12" or missing, "host": {"host": "a", "user": "me", "port": 22, "key": "/path"} or
//                      missing} ... ],
//     "at_once": 16,                                             // only where the job says so
//     "ranks":  [ {"rank": 0, "node": 0, "local": 0, "role": "worker", "index": 0, "decides": true,
//                  "argv": ["/bin/sh", "-c", "..."], "env": {"MUSTER_RANK": "0", ...}} ... ],
//     "inputs": [ {"name": "...", "from": "/absolute/path"|"https://..."|"git+https://...", "kind":
//         "path"|"http"|"git"|"live", "sha256": "..."|null,
//                  "unpack": true|false, "path": "below the data directory", "once": false} ... ],
//     "setup":  [ {"name": "...", "argv": [...], "env": {...}, "once": false, "timeout": 0} ... ],
//     "metrics": [ {"name": "...", "pattern": "...", "unit": "..."|null} ... ],
//     "progress": [ "regular expression with the groups done and total (and perhaps epoch and epochs)", ... ],
//     "mpi": "auto"|"mpich"|"openmpi",                           // only with launch mpi
//     "command": "./train --lr {rank}",                          // as the file says it; of several roles with "; "
//         between
//     "samples": 128, "budget": {"max_time": s, "max_cost": x}, "expected": {"time", "low", "high", "cost", "from"},
//         // only where the job says so
//     "total": 7820,                                             // iterations of the whole run; only where the job
//         says so
//     "watched": 60,                                             // somebody relies on "progress": seconds after which
//         to say that no line matches
//     "stop": {"iterations": 20, "within": 0.02},                // end well when so many, or an estimate so good, were
//         seen; only where asked for
//     "outputs": [ "glob", ... ],
//     "timeout": 0, "retries": 0, "grace": 5, "deadline": 60, "heartbeat": 5, "lease": 30,
//         // seconds; timeout 0 is none
//     "on": "lab", "share": true,           // the kept cluster it runs on, and that it may do so beside other jobs;
//         only with `run --on`
//     "preflight": true, "ports": true,                          // ports: some text holds {port...}
//     "build": {"context": "/absolute/path", "dockerfile": "...", "args": {...}},
//         // missing when there is none; dockerfile too
//     "volumes": [ "/absolute/path:/in/the/container:ro"|"name:/in/the/container", ... ],
//         // missing when there are none
//     "container": {"image": "debian:12"} or {"build": as above}, both perhaps with "volumes": as above }
//         // what the ranks run in; or missing
//
// A container brings a last setup step, {"name": "image debian:12", "image": true, ...}, and what it is built from a
// last input, {..., "context": true}.
//
// "decides": the run ends when all ranks that decide have ended; the others are then told to stop and their exit does
// not count. Texts may still hold the placeholders that only a live node can fill: {data} {out} {addr[K]} {port}
// {port[R]} {hosts} {hostfile}.
#ifndef JOB_PLAN_H
#define JOB_PLAN_H

#include "base/error.h"

#include <jansson.h>

struct job;

// The plan of a job, owned by the caller; NULL and err when the job asks for the impossible. site (may be NULL) is the
// user's site file as a tree: defaults for deadline, heartbeat, lease, grace. dir is the absolute directory that
// relative input paths start from.
json_t *plan_make(const struct job *job, const json_t *site, const char *dir, struct error *err);

// The patterns of lines by which programs commonly say how far they are: "progress" of a job that does not say its own.
// Owned by the caller.
json_t *plan_progress(void);

// The plan of a cluster that is kept up, from a cluster file: the same without ranks, and with
//     "actions": {"install": [{"name": "...", "argv": [...], "once": false} ... ]}
//     "hosts": [{"host": "..."} ... ]    where it names hosts: node K is on the K-th, however many nodes it has just
//         now
json_t *plan_make_cluster(const struct job *job, const json_t *site, const char *dir, struct error *err);

// The same cluster with so many nodes, at most plan_room: the last ones go, or there are more like the last one. Owned
// by the caller.
json_t *plan_resize(const json_t *plan, size_t nodes);

// How many nodes a cluster may be given: as many as it has hosts, where those are named.
size_t plan_room(const json_t *plan);

size_t plan_nodes(const json_t *plan); // how many
size_t plan_size(const json_t *plan);  // how many ranks, also of a slice
const char *plan_executor(const json_t *plan);
double plan_seconds(const json_t *plan, const char *name); // "timeout", "grace", "deadline", "heartbeat", "lease"

// What node K is told: the plan with "ranks" cut down to its own, "node" set to K, "host" to its host where it has one,
// and the setup steps as K does them. Owned by the caller; what is the same for all nodes it shares with the plan, so
// neither may be changed below the top.
json_t *plan_slice(const json_t *plan, size_t node);

#endif
