#!/bin/bash
# A cluster of pods that stays up: commands, files, actions, jobs on it, more and fewer nodes, a pod that goes, a controller that is killed.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools
cat >lab.yaml <<'J'
name: lab
cluster: {executor: kubernetes, nodes: 2, image: "localhost/tools:1"}
actions: {note: ["echo '{text}' >note"]}
J
cat >job.yaml <<'J'
name: job
run: {command: 'echo rank {rank} in node-{node}'}
J
sorted() { printf '%s\n' "$1" | sort | tr '\n' ';'; }
ls_says() { "$MUSTER" ls lab | grep -qE -- "$1"; }
pods() { kubectl get pods --field-selector status.phase=Running -o name | sort; }
count() { pods | wc -l; }
controller() { pid_in "$(echo "$MUSTER_CLUSTERS"/lab/*)/control.json"; }

muster up lab.yaml
status_is "it comes up" 0
is "two pods" "$(count)" 2
muster run job.yaml --on lab --set cluster.nodes=2
is "a job on it" "$(sorted "$out")" "0| rank 0 in node-0;1| rank 1 in node-1;"
muster exec lab -- sh -c 'echo node-$MUSTER_NODE'
is "a command in it" "$(sorted "$out")" "0| node-0;1| node-1;"
seq 1 100000 >numbers
muster cp numbers lab:
status_is "a file to all" 0
muster cp lab/1:numbers back
ok "and back" cmp numbers back
muster action lab note --set text=hello
status_is "an action" 0
muster exec lab --node 1 -- cat note
is "was done" "$out" hello

muster scale lab 4
status_is "it grows" 0
is "by two pods" "$(count)" 4
muster run job.yaml --on lab
is "those before are there at once" "$(sorted "$out")" "0| rank 0 in node-0;1| rank 1 in node-1;2| rank 2 in node-2;3| rank 3 in node-3;"
muster scale lab 1
status_is "it shrinks" 0
one_pod() { [ "$(kubectl get pods -o name | wc -l)" -eq 1 ]; }
ok "to one pod" wait_for 30 one_pod
muster scale lab 2
muster run job.yaml --on lab
is "and grows again" "$(sorted "$out")" "0| rank 0 in node-0;1| rank 1 in node-1;"

kubectl delete pod --wait=false "$(kubectl get pods -o 'jsonpath={.items[0].metadata.name}')" >/dev/null
ok "a pod that is deleted is missed" wait_for 60 ls_says '1 of 2'
muster up lab
status_is "another is made" 0
muster run job.yaml --on lab
is "a job on it" "$(sorted "$out")" "0| rank 0 in node-0;1| rank 1 in node-1;"

killed=$(controller)
kill -9 "$killed"
ok "the controller is killed" wait_for 10 gone "$killed"
before=$(pods)
muster run job.yaml --on lab
status_is "a job brings it back" 0
is "with the pods that were there" "$(pods)" "$before"

runs() { [ "$(grep -lx begun "$(run_dir)"/ranks/output-*.txt 2>/dev/null | wc -l)" = "$1" ]; }
start run job.yaml --on lab --set 'run.command=echo begun; exec sleep 1000'
ok "a long job" wait_for 20 runs 2
muster down lab
status_is "it goes" 0
start_finished 30
is "and the job with it" "$status $(why)" "130 cancelled: its cluster is being taken down"
kube_done_testing
