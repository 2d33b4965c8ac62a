#include "wire/event_types.h"

#include <stddef.h>
#include <string.h>

#define C EVENT_CONTROLLER
#define A EVENT_AGENT

const struct event_type event_types[] = {
	{"run", C, false, "id name executor nodes size version plan", "The first line of every run."},
	{"intent", C, false, "label", "The executor is about to create things that carry this label."},
	{"image", C, false, "name step seconds ok",
		"An image is pulled or built: `step` says how far it is; the last event has `seconds` and `ok`."},
	{"pod", C, false, "running total step seconds ok",
		"So many of the pods run, out of a total; `step` says what the others wait for. The last event has "
		"`seconds` and `ok`."},
	{"requests", C, false, "count",
		"So many requests the run has made of the API server of a Kubernetes, until nothing was left."},
	{"state", C, false, "from to why",
		"The run changed its state: planned, starting, ready (a persistent cluster is up), running, "
		"stopping, done."},
	{"phase", C | A, false, "name edge seconds node attempt",
		"A phase begins or ends: `edge` is `begin` or `end`, `seconds` is set at the end. `node` and `attempt` "
		"are "
		"set when an agent writes it. Phases: bring-up, preflight, stage, setup, run, collect, teardown."},
	{"hello", C, false, "node name address machine facts seconds",
		"A node connected, `seconds` after bring-up began. `facts`: `hostname` `cores` `memory` `disk` "
		"`kernel` "
		"`version` `pid`."},
	{"lost", C, false, "node why", "A node has been silent for too long, or cannot come back."},
	{"back", C, false, "node seconds", "A lost node connected again, after so many seconds of silence."},
	{"preflight", A, false, "node disk memory rows",
		"What the node measured. A row is `{to, ok, latency, offset, bandwidth}` (seconds, seconds, bytes per "
		"second) or, for a peer that it cannot reach, `{to, ok, name, address, port, why}`."},
	{"address", A, false, "node address instead why",
		"The node uses another address than its first one, because every peer reaches it there."},
	{"mpi", A, false, "node family why mpirun",
		"With `launch: mpi`: the MPI family of the program, `mpich` or `openmpi`. Node 0 writes it at each "
		"attempt."},
	{"checked", A, false, "node attempt", "The preflight ended, and nothing else was requested."},
	{"input", C | A, false, "node name from bytes seconds sha256 tree ok why sent commit done total",
		"An input is in place, or failed (`ok`, `why`). `tree` is one checksum for a whole directory; `sent` "
		"means "
		"over the node's own connection. Without `node`, with `commit`: the controller fetched it from git. "
		"With `done` and `total` and without `ok`: a transfer in progress."},
	{"setup", A, false, "node step name status seconds skipped last",
		"A setup step ended. `skipped` says why it was not necessary."},
	{"start", A, false, "node rank pid argv attempt", "A rank started."},
	{"exit", A, false, "node rank status signal why seconds last attempt",
		"A rank ended. `status` or `signal` is null; `why` is null, `timeout`, `cancelled`, `told to stop` or "
		"`out "
		"of memory`; `last` has the last lines it printed."},
	{"output", C | A, false, "node path bytes link stream mode ok why",
		"A file, or a symbolic link to `link`, is brought back to `outputs/node-N/PATH`; or it cannot be (`ok` "
		"is false, `why`): the node cannot read it or, when the controller writes it, it cannot be stored. "
		"Special bytes of `path` and `link` are [escaped](protocol.md#output-files)."},
	{"left", A, false, "node streams unmatched",
		"The last event of a node: how long each stream is, and the patterns in `outputs` that match no file. "
		"The node "
		"is complete when all its streams have reached these offsets."},
	{"terminated", A, false, "node signal",
		"The node's agent was told to stop from outside muster, as when its container is stopped, its pod "
		"deleted or its machine shut down. It ends its ranks, sends its outputs and leaves."},
	{"warn", C | A, false, "why", "Something is wrong, and the run goes on."},
	{"fail", C | A, false, "phase why node rank attempt named",
		"A fatal error. The first one is why the run failed. `named`: `why` itself says which nodes it is "
		"about."},
	{"refused", C, false, "peer why", "A connection without valid credentials was refused."},
	{"signal", C, false, "signal why", "A signal was sent to all ranks."},
	{"retry", C, false, "attempt why", "The ranks are started again; `attempt` counts from 2."},
	{"enough", C, false, "rank seen turn total warm_up doubts",
		"The condition under `stop` in the job file is met; the members are those of `estimate` in "
		"report.json."},
	{"resume", C, false, "version", "Another controller took over a persistent cluster."},
	{"resize", C, false, "from nodes", "A persistent cluster has another number of nodes from now on."},
	{"job", C, false, "run run_dir edge nodes", "A job on a persistent cluster began or ended."},
	{"receipt", C, false, "left seconds",
		"What the executor still finds after teardown: a list of objects with `what`, `id` and details."},
	{"end", C, false, "outcome why exit seconds",
		"The last line of every run. `outcome` is ok, failed, cancelled or lost; `exit` is the exit status of "
		"`muster "
		"run`."},
	{"metric", A, true, "node rank name value unit step",
		"A value of a metric. `value` is null if it is not finite; `step` may be missing."},
	{"progress", A, true, "node rank done total epoch heads",
		"How far a rank is ([progress](jobfile.md#progress)): at most once a second for each rank, once at its "
		"end, and "
		"once when another loop begins. `heads` lists `[ts, done]` since the previous event, at most 128, "
		"older ones "
		"thinned out; `epoch` is the number of iterations in an epoch where the lines say so; `total` is null "
		"if "
		"unknown."},
	{"sample", A, true, "node cpu memory rx tx read write ranks",
		"Once a second: what the node's ranks use. `ranks` lists `{rank, cpu, memory}`."},
	{0},
};

const struct event_type *event_types_find(const char *name)
{
	for (const struct event_type *type = event_types; name && type->name; type++)
		if (strcmp(type->name, name) == 0)
			return type;
	return NULL;
}
