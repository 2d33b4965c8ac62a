#!/bin/bash
# A persistent cluster of containers: jobs on it, commands in it, more and fewer nodes, an agent that is killed, an engine that is restarted, down while a
# job runs; what is not wanted any more is removed at once.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/engine.sh"
engine_start
ok "an image" engine_image tools:1 /bin/sh /bin/cat /bin/sleep
cat >lab.yaml <<'J'
name: lab
cluster: {executor: docker, nodes: 2, image: "tools:1"}
J
cat >job.yaml <<'J'
name: job
run: {command: 'echo rank {rank} in $(cat /etc/hostname)'}
J
sorted() { printf '%s\n' "$1" | sort | tr '\n' ';'; }
ls_says() { "$MUSTER" ls lab | grep -qE -- "$1"; }
runs() { [ "$(grep -lx begun "$(run_dir)"/ranks/output-*.txt 2>/dev/null | wc -l)" = "$1" ]; }
muster up lab.yaml
status_is "it comes up" 0
muster run job.yaml --on lab --set cluster.nodes=2
is "a job on it" "$(sorted "$out")" "0| rank 0 in node-0;1| rank 1 in node-1;"
muster exec lab -- /bin/cat /etc/hostname
is "a command in it" "$(sorted "$out")" "0| node-0;1| node-1;"
muster scale lab 4
status_is "it grows" 0
is "by two containers" "$(engine_containers | wc -l)" 4
muster run job.yaml --on lab
is "those before are there at once" "$(sorted "$out")" "0| rank 0 in node-0;1| rank 1 in node-1;2| rank 2 in node-2;3| rank 3 in node-3;"
muster scale lab 1
status_is "it shrinks" 0
is "to one container" "$(engine_containers | wc -l)" 1
muster scale lab 2
muster run job.yaml --on lab
is "and grows again" "$(sorted "$out")" "0| rank 0 in node-0;1| rank 1 in node-1;"

before=$(engine_containers | sort)
muster exec lab --node 1 -- /bin/sh -c '(sleep 1000 &); kill -9 $PPID'
ok "an agent that is killed where something else keeps the container is missed" wait_for 10 ls_says '1 +lost'
muster up lab
status_is "another is brought" 0
is "to the container that is there" "$(engine_containers | sort)" "$before"
muster run job.yaml --on lab
is "a job on it" "$(sorted "$out")" "0| rank 0 in node-0;1| rank 1 in node-1;"

touch "$ENGINE_DIR/hold"
engine_kill TERM
ok "the engine is restarted, which ends its containers" wait_for 20 ls_says '0 of 2'
rm "$ENGINE_DIR/hold"
ok "it is back" wait_for 20 engine_answers
muster up lab
status_is "the cluster has its nodes again" 0
muster run job.yaml --on lab
is "and a job" "$(sorted "$out")" "0| rank 0 in node-0;1| rank 1 in node-1;"
is "in no more containers than before" "$(engine_containers | wc -l)" 2

start run job.yaml --on lab --set 'run.command=echo begun; exec sleep 1000'
ok "a long job" wait_for 20 runs 2
muster down lab
status_is "it goes" 0
start_finished 20
is "and the job with it" "$status $(why)" "130 cancelled: its cluster is being taken down"
ok "the engine is empty" engine_is_empty

done_testing
