#!/bin/bash
# SIGTERM for a node's agent, as from whoever stops its container or its machine: the ranks end in their grace, what they wrote comes back, and
# the run says why it ended. So does a job on a persistent cluster one of whose nodes is told to stop.
. "$(dirname "$0")/lib.sh" || exit 1

cat >wait.yaml <<'J'
name: wait
cluster: {nodes: 2}
run:
  command: |
    trap 'sleep 0.3; echo "rank {rank} ends"; echo "of {rank}" > last-{rank}; exit 0' TERM
    echo up
    while :; do sleep 0.02; done
  grace: 20s
outputs: ["last-*"]
J
up() { [ "$(cat "$(run_dir)"/ranks/output-*.txt 2>/dev/null | grep -c up)" -eq "$1" ]; }

start run wait.yaml --set cluster.nodes=3
ok "three ranks" wait_for 20 up 3
agent=$(agent_pid 2)
kill -TERM "$agent"
kill -TERM "$agent"
start_finished 20
status_is "a node that is told to stop" 3
is "is the reason" "$(why)" "node 2 was told to stop (SIGTERM)"
is "the run is lost" "$(outcome)" lost
for rank in 0 1 2; do
	like "rank $rank could end" "$(output $rank)" "rank $rank ends"
	is "and what it wrote came back" "$(cat "$(run_dir)"/outputs/node-$rank/last-$rank)" "of $rank"
done
is "said by the node" "$(events 'e["node"] if e["type"] == "terminated" else None')" 2
like "and shown" "$out$err" "node 2: told to stop \(SIGTERM\)"
is "it left as others do" "$(events 'e["node"] if e["type"] == "left" else None' | sort | tr '\n' ' ')" "0 1 2 "

cat >deaf.yaml <<'J'
name: deaf
cluster: {nodes: 2}
run:
  command: "trap '' TERM; echo up; while :; do sleep 0.02; done"
  grace: 1s
J
start run deaf.yaml
ok "two that are deaf" wait_for 20 up 2
kill -TERM "$(agent_pid 0)"
start_finished 20
is "are killed after their grace" "$(why)" "node 0 was told to stop (SIGTERM)"
is "all of them" "$(events 'e["signal"] if e["type"] == "exit" else None' | tr '\n' ' ')" "9 9 "

cat >lab.yaml <<'J'
name: lab
cluster: {nodes: 2}
J
ls_says() { "$MUSTER" ls lab | grep -qE -- "$1"; }
muster up lab.yaml
status_is "a cluster" 0
lab=$(echo "$MUSTER_CLUSTERS"/lab/*)
start run wait.yaml --on lab
ok "a job on it" wait_for 20 up 2
kill -TERM "$(agent_pid 1 "$lab")"
start_finished 30
is "is told that its node stops" "$(why)" "node 1 was told to stop (SIGTERM)"
is "and brings back what it has" "$(cat "$(run_dir)"/outputs/node-1/last-1)" "of 1"
ok "the cluster has lost the node" wait_for 10 ls_says '1 +lost'
like "and says why" "$(events 'e["why"] if e["type"] == "lost" else None' "$lab")" "told to stop"
muster up lab
status_is "another takes its place" 0
muster down lab
status_is "down" 0
done_testing
