// An event: one thing that happened, one JSON object on one line. The message on the wire is the line in the log is
// what the report reads. It does not travel by itself: conn carries it, run writes it down.
//
// Every event has "ts" (seconds since 1970, double) and "type". "node" and "rank" are there where they make sense.
//
// In events.jsonl (C: written by the controller, A: comes from an agent):
//   run       C  id, name, executor, nodes, size, version, plan: the file's name      always the first line
//   intent    C  label                                             before an executor makes anything
//   image     C  name, step: how far it is; at the end name, seconds, ok: true       before the nodes are made
//   state     C  from, to, why (text or null)
//   phase    CA  name, edge: "begin" | "end", seconds (on end)
//                bring-up preflight stage setup run collect teardown; with node and attempt when an agent says it
//   hello     C  node, name, address, machine, facts {hostname, cores, memory, disk, kernel, version, pid}, seconds
//                (since up)
//   lost      C  node, why                                          back C node, seconds (it was away)
//   preflight A  node, disk (bytes free), memory (bytes free), rows: [{to, name, address, port, ok, latency (s), offset
//   (clock, s), why, bandwidth (B/s)}]
//   input     A  node, name, from, bytes, seconds, sha256, ok, why (when not ok); on the way: node, name, from, done,
//                total (bytes), no ok
//   setup     A  node, step (0..), name, status, seconds, skipped (why, if it was), last: [lines]
//   start     A  node, rank, pid, argv
//   exit      A  node, rank, status (exit code or null), signal (number or null), why (null or "timeout" | "cancelled"
//                | "told to stop" |
//                "out of memory"), seconds, last: [lines]
//   output    A  node, path (below the outputs of the node), bytes, stream, mode, ok; or stream, ok: false, why: it
//                could not be read to its end
//   mpi       A  node, family: "mpich" | "openmpi", why, mpirun (path or null)
//                which family of MPI serves the ranks; said by node 0 at each attempt
//   checked   A  node                                               preflight is done, and nothing else was asked for
//   left      A  node, streams: {stream: bytes}, unmatched: [patterns of outputs no file here matches]
//                the last word of a node: how long the
//                                                                  output of its ranks is
//   warn     CA  why
//   fail     CA  phase, why                                         fatal: the first one is the run's why; node, rank
//                and attempt where known
//   refused   C  peer, why                                          somebody who may not speak to the controller
//   signal    C  signal, why                                        sent to all ranks
//   retry     C  attempt (2..), why
//   enough    C  rank, seen, turn [value, low, high], total [...]...  the job asked to stop here; see
//                iterations_describe in predict/iterations.h
//   receipt   C  left: [{what, ...}], seconds                       what the executor still finds after down
//   end       C  outcome: "ok" | "failed" | "cancelled" | "lost", why (text or null), exit (status of muster run),
//                seconds    always the last line
//
// In metrics.jsonl:
//   metric    A  node, rank, name, value (number), unit (text or null), step (integer, may be missing)
//   progress  A  node, rank, done, total (or null), epoch (iterations in one; may be missing), heads: [[when, done],
//                ...]
//                                                                  at most one a second for each rank, but for the
//                                                                  last; heads since the one before
//   sample    A  node, cpu (cores in use), memory (bytes), rx, tx (network B/s), read, write (disk B/s), ranks: [{rank,
//                cpu, memory}]
#ifndef WIRE_EVENT_H
#define WIRE_EVENT_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// A new event of that type with ts set to now, then the members of fmt (as json_pack's inside of an object: "s:i,
// s:s"); fmt may be "".
json_t *event_make(const char *type, const char *fmt, ...);

// One line, ended by a newline, no newline inside; owned by the caller.
char *event_print(const json_t *event);

// Reads one line (without or with its newline): an object with ts and a known type, depth and size bounded. NULL and
// err when it is not.
json_t *event_parse(const char *line, size_t len, struct error *err);

const char *event_type(const json_t *event);
bool event_is(const json_t *event, const char *type);

// Does this type belong into metrics.jsonl?
bool event_is_metric(const json_t *event);

// Is it of a type that nodes send (A above)?
bool event_is_from_node(const json_t *event);

#endif
