#!/bin/bash
# A kept cluster of containers: jobs on it, commands in it, more and fewer nodes; what is not wanted any more is removed at once.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/engine.sh"
export XDG_STATE_HOME=$SCRATCH/state
engine_start
ok "an image" engine_image tools:1 /bin/sh /bin/cat
cat >lab.yaml <<'J'
name: lab
cluster: {executor: docker, nodes: 2, image: "tools:1"}
J
cat >job.yaml <<'J'
name: job
run: {command: 'echo rank {rank} in $(cat /etc/hostname)'}
J
sorted() { printf '%s\n' "$1" | sort | tr '\n' ';'; }
muster up lab.yaml
status_is "it comes up" 0
muster run job.yaml --on lab --set cluster.nodes=2
is "a job on it" "$(sorted "$out")" "0| rank 0 in node-0;1| rank 1 in node-1;"
muster exec lab -- /bin/cat /etc/hostname
is "a command in it" "$(sorted "$out")" "0| node-0;1| node-1;"
muster scale lab 3
status_is "it grows" 0
is "by a container" "$(engine_containers | wc -l)" 3
muster run job.yaml --on lab --set cluster.nodes=3
is "those before are there at once" "$(sorted "$out")" "0| rank 0 in node-0;1| rank 1 in node-1;2| rank 2 in node-2;"
muster scale lab 1
status_is "it shrinks" 0
is "to one container" "$(engine_containers | wc -l)" 1
muster scale lab 2
muster run job.yaml --on lab --set cluster.nodes=2
is "and grows again" "$(sorted "$out")" "0| rank 0 in node-0;1| rank 1 in node-1;"
muster down lab
status_is "it goes" 0
ok "the engine is empty" engine_is_empty
done_testing
