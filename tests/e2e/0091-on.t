#!/bin/bash
# Jobs on a cluster that stays up: as many as one likes, one after the other or shared; scale; actions; faults of either controller.
. "$(dirname "$0")/lib.sh" || exit 1

cat >lab.yaml <<'J'
cluster: {nodes: 2}
actions:
  install: ["echo install {x} on {node} of {nodes}", {run: "echo once at {addr}", once: true}]
  broken: ["exit 4", "echo never"]
  text: ["echo '{{x}}'"]
J
cat >hello.yaml <<'J'
run: {command: 'echo "rank {rank} of {size} on {node} at {addr}"; echo $MUSTER_NODES >out-{rank}.txt'}
outputs: ["out-*.txt"]
J
cat >long.yaml <<'J'
run: {grace: 1s, command: 'echo go; echo kept >kept.txt; while [ ! -e go-on ]; do sleep 0.05; done; echo went on'}
outputs: [kept.txt]
J
cluster_dir() { echo "$MUSTER_CLUSTERS"/lab/*; }
controller() { pid_in "$(cluster_dir)/control.json"; }
ls_says() { "$MUSTER" ls lab | grep -qE -- "$1"; }
only_the_cluster() { [ "$(ls "$MUSTER_NODES_DIR")" = "$(basename "$(cluster_dir)")" ] && [ -z "$(find "$MUSTER_NODES_DIR" -path '*/jobs/*')" ]; }
goes() { [ "$(grep -lx go "$(run_dir)"/ranks/output-*.txt 2>/dev/null | wc -l)" = "$1" ]; }
kill_and_wait() { kill -9 "$1" && wait_for 10 gone "$1"; }

muster run hello.yaml --on lab
status_is "a cluster that is not there" 2
"$MUSTER" up -q lab.yaml
agents=$(cat "$MUSTER_NODES_DIR"/*/node-*/agent.json)

muster run hello.yaml --on lab
status_is "a job on it" 0
like "all of its nodes, at their addresses" "$(output 1)" "^rank 1 of 2 on 1 at 127\."
is "outputs come back" "$(cat "$(run_dir)"/outputs/node-*/out-*.txt | tr '\n' ' ')" "2 2 "
is "and the receipt is empty" "$(events 'e["left"] == [] if e["type"] == "receipt" else None')" true
ok "nothing of the job is on the nodes" only_the_cluster
muster run hello.yaml --on lab --set cluster.nodes=1
status_is "a job on some of its nodes" 0
is "one rank" "$(find "$(run_dir)/ranks" -name 'output*' | wc -l)" 1
muster run hello.yaml --on lab --set cluster.nodes=3
status_is "more than it has" 2
like "both are named" "$err" "found 3 nodes, expected at most 2: so many has the cluster 'lab'"
muster run hello.yaml --on lab --set cluster.memory=64Mi
status_is "a limit it does not have" 2
like "is not ignored" "$err" "limits .memory. of node 0"
muster run hello.yaml --share
status_is "--share alone" 2
muster run hello.yaml --on lab --set 'run.command=exit 7'
status_is "a job that fails" 1
ok "leaves it clean" only_the_cluster
muster run hello.yaml --on lab --set run.launch=torch --set 'run.command=echo $MASTER_ADDR $WORLD_SIZE'
status_is "a launch mode with ports" 0
like "with the first node's address" "$(output 1)" "^127\..* 2$"
muster ls
like "ls counts them" "$out" " 4 +hello-.*: ok"
is "the nodes are the same" "$(cat "$MUSTER_NODES_DIR"/*/node-*/agent.json)" "$agents"

# one at a time, unless shared
start run long.yaml --on lab
ok "a long one" wait_for 20 goes 2
first=$(run_dir)
ok "ls shows it" ls_says 'lab +busy'
muster run hello.yaml --on lab
status_is "a second one is refused" 3
like "by name" "$err" "run $(basename "$first") uses it; .*--share"
muster run hello.yaml --on lab --share
status_is "unless shared" 0
muster scale lab 1
status_is "scale would take its nodes away" 3
like "and says so" "$err" "run long-.* uses 2 nodes"

# the cluster's controller is killed under it, and brought back: the job goes on
kill_and_wait "$(controller)"
muster exec lab -- sh -c "touch ../jobs/$(basename "$first")/node-\$MUSTER_NODE/out/go-on"
status_is "a command brings it back" 0
start_finished 30
status_is "the job goes on and ends" 0
is "with all its output" "$(cat "$first"/ranks/output-*.txt | sort | tr '\n' ' ')" "go go went on went on "
ok "nothing is left of it" wait_for 5 only_the_cluster

# a job is cancelled; its controller is killed; a node is killed
muster run --detach long.yaml --on lab
ok "one more" wait_for 20 goes 2
muster cancel latest
status_is "cancelled" 0
ok "its outputs are there" test -s "$(run_dir)/outputs/node-1/kept.txt"
ok "nothing is left of the cancelled one" only_the_cluster
muster run --detach long.yaml --on lab
ok "and one more" wait_for 20 goes 2
kill_and_wait "$(controller_pid)"
ok "what a killed one left is removed by the cluster" wait_for 10 only_the_cluster
ok "and the cluster is free" wait_for 10 ls_says 'lab +up +.*long-.*: lost'
muster reap
like "reap closes its record" "$out" "closed record"

# two jobs share the nodes, one agent is frozen, both controllers are killed: neither counts as cleaned up before both nodes have answered
ended() { json_lines "$(cluster_dir)/events.jsonl" 'e["edge"] == "end" and e["run"] if e["type"] == "job" else None' | grep -cxE "$1|$2"; }
on_node() { find "$MUSTER_NODES_DIR" -path "*/jobs/$2*" -path "*/node-$1*" | grep -q .; } # NODE RUN
neither_on_node() { ! on_node "$1" "$2" && ! on_node "$1" "$3"; }
muster run --detach long.yaml --on lab
ok "the first of two" wait_for 20 goes 2
one=$(basename "$(run_dir)") one_pid=$(controller_pid)
muster run --detach --share long.yaml --on lab
ok "the second" wait_for 20 goes 2
two=$(basename "$(run_dir)") two_pid=$(controller_pid)
frozen=$(pid_in "$(echo "$MUSTER_NODES_DIR"/*/node-1/agent.json)")
kill -STOP "$frozen"
kill_and_wait "$one_pid"
kill_and_wait "$two_pid"
ok "the node that can removes both" wait_for 20 neither_on_node 0 "$one" "$two"
ok "and answers" "$MUSTER" exec lab --node 0 -- true
is "neither is over: the other node has not answered" "$(ended "$one" "$two")" 0
kill -CONT "$frozen"
ok "it removes both when it goes on" wait_for 20 only_the_cluster
both_ended() { [ "$(ended "$one" "$two")" = 2 ]; }
ok "then both are over" wait_for 20 both_ended
ok "and the cluster is free" wait_for 10 ls_says 'lab +up'
muster reap

# scale
muster scale lab 4
status_is "scale up" 0
ok "four" ls_says 'lab +up +local +4 '
muster run hello.yaml --on lab
is "a job on four" "$(output 3)" "$(printf 'rank 3 of 4 on 3 at %s' "$("$MUSTER" hosts lab | tail -n 1)")"
muster scale lab 1
status_is "scale down" 0
muster run hello.yaml --on lab
is "a job on one" "$(find "$(run_dir)/ranks" -name 'output*' | wc -l)" 1
is "the others are gone" "$(find "$MUSTER_NODES_DIR" -mindepth 2 -maxdepth 2 -name 'node-*' | wc -l)" 1
muster scale lab 0
status_is "not to nothing" 2
muster scale lab 2
kill_and_wait "$(controller)"
muster exec lab --node 1 -- echo there
is "the number outlives the controller" "$out" there

# actions
muster action lab
is "actions are listed" "$out" $'install\nbroken\ntext'
muster action lab install --set x='a b'
status_is "an action" 0
like "everywhere, then once" "$(echo "$out" | sort | tr '\n' ';')" "^0\| install a b on 0 of 2;0\| once at 127\.[0-9.]+;1\| install a b on 1 of 2;$"
muster action lab install
status_is "a placeholder nobody sets" 2
is "and nothing was run" "$out" ""
muster action lab install --set x=1 --set z=2
status_is "a setting nobody uses" 2
muster action lab broken
status_is "a step that fails" 1
is "the next is not run" "$out" ""
muster action lab text
is "braces as text" "$(echo "$out" | sort | head -n 1)" "0| {x}"
muster action lab nothing
like "an action it does not have" "$err" "expected one of install, broken, text"

# down while a job runs
start run long.yaml --on lab
ok "a last one" wait_for 20 goes 2
muster down lab
status_is "down" 0
like "says what it cancels" "$err" "cancelling run long-.* on the cluster"
start_finished 20
status_is "the job is cancelled" 130
is "with the reason" "$(why)" "cancelled: its cluster is being taken down"
ok "and its outputs" test -s "$(run_dir)/outputs/node-0/kept.txt"
done_testing
