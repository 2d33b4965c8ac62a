// The agent: one process per node. Dials the controller, prepares the node, starts the ranks, tells what happens, ends
// with everything it started. It decides nothing about the run: the controller does.
//
// An executor starts `muster-agent` and writes its configuration to its standard input, one JSON object a line; each
// line is one node, and for each but the last the agent forks, so that one process can start many nodes of one machine
// cheaply. End of input ends the list.
//
//   {"run": "ID", "node": 0, "nodes": 2, "token": "hex", "url": "wss://127.0.0.1:45123", "fingerprint": "hex SHA-256",
//    url may also be "unix:PATH", as seen from dir: the bridge's socket (helper/bridge.h)
//    "address": "127.0.0.2",          where peers reach this node; also the source address of what the agent dials
//    "name": "127.0.0.2",             the name peers use
//    "dir": "/tmp/muster-0/ID/node-0", made if missing (0700; its parent must be there); the agent writes agent.json
//                                      {"pid", "started", "cgroups": its own}, agent.log, spool/, data/, out/ below it
//    "claim": 3,                       a descriptor that keeps the address ours, or missing
//    "shared": "/tmp/.../ID/shared",   a directory that all nodes of the run see, or missing
//    "live": "/.muster/live",          a directory with the live inputs by number, where the node does not see the
//        controller's files, or missing
//    "same_files": true,              the controller's files are seen here under the same names: inputs are read, not
//        sent; or missing
//    "cgroups": "/sys/.../cgroup.procs:...",  for the ranks to enter, or missing
//    "limits": {"cpus": 0.5, "memory": 64e6},  of the ranks, in a control group that the agent makes, or missing
//    "hosts": "/etc/hosts",            where the names of other nodes are written down, when nobody else resolves
//                                      them; or missing
//    "limited": "/sys/.../cgroup.procs:...",  where the node as a whole is limited (a container's own groups, as seen
//        in it), or missing
//    "lease": 30, "heartbeat": 5}     seconds
//
// SIGTERM, as from whoever ends its container or its machine: it tells the controller, ends its ranks with TERM and
// their grace, brings the outputs back and exits. What does not come to that in time is killed with it.
//
// Every process the agent starts carries MUSTER_RUN=ID and MUSTER_NODE=K in its environment.
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

// Runs until the controller says bye or the lease ends; the exit status of the process.
int agent_main(void);

#endif
