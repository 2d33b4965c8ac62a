#!/bin/bash
# A cluster that stays up: up, ls, exec, hosts, a lost node, a killed controller, reap, down.
. "$(dirname "$0")/lib.sh" || exit 1

cat >lab.yaml <<'J'
cluster: {nodes: 3}
J
cluster_dir() { echo "$MUSTER_CLUSTERS"/lab/*; }
controller() { pid_in "$(cluster_dir)/control.json"; }
agent() { pid_in "$MUSTER_NODES_DIR/$(basename "$(cluster_dir)")/node-$1/agent.json"; }
ls_says() { "$MUSTER" ls lab | grep -qE -- "$1"; }

muster ls
like "no cluster" "$out" "there are no persistent clusters"
muster exec lab -- true
status_is "a run or cluster that is not there" 2
muster up lab.yaml
status_is "up" 0
like "it says how to go on" "$out" "muster run JOB --on lab"
like "it showed the way" "$err" "cluster lab-.*: 3 nodes, executor local"
muster ls
like "ls has it" "$out" "lab +up +local +3 "
like "with the nodes' addresses" "$out" "2 +up +127\.0\.0\."
muster hosts labs
status_is "a wrong name" 2
like "the right one is suggested" "$err" "there is no cluster 'labs', expected one of lab \(did you mean 'lab'\?\)"
muster ls --json
is "ls as JSON" "$(echo "$out" >ls.json; json_value ls.json '[c["name"] + " " + c["state"] + " " + str(len(c["nodes"])) for c in e][0]')" "lab up 3"
is "the directory is private" "$(stat -c %a "$MUSTER_CLUSTERS" "$MUSTER_CLUSTERS/lab" "$(cluster_dir)/identity.json" "$(cluster_dir)/control.json" | tr '\n' ' ')" "700 700 600 600 "
muster up lab.yaml
status_is "the name is taken" 2
like "and says so" "$err" "cluster 'lab' already exists"
muster up job/lab.yaml
status_is "a file that is not there" 2
printf 'cluster: {nodes: 2}\nrun: {command: "true"}\n' >job.yaml
muster up job.yaml
status_is "a job file is no cluster file" 2
like "which says where" "$err" "job.yaml:2:1: .*run"
muster up --name Lab_2 lab.yaml
status_is "a wrong name" 2
printf 'cluster: {nodes: 2, executor: nowhere}\n' >other.yaml
muster up other.yaml
status_is "an unknown executor" 2
printf 'cluster: {nodes: 1, memory: 1}\n' >tiny.yaml
is "nothing of those is left" "$(ls "$MUSTER_CLUSTERS")" lab

# exec
muster exec lab -- sh -c 'echo "at $MUSTER_NODE"; echo bad >&2; exit $((MUSTER_NODE + 3))'
status_is "exec everywhere: the highest status" 5
is "marked by node" "$(echo "$out" | sort)" $'0| at 0\n1| at 1\n2| at 2'
is "errors too" "$(echo "$err" | sort)" $'0| bad\n1| bad\n2| bad'
muster exec lab -- sh -c 'printf "no newline"'
is "a line without an end" "$(echo "$out" | sort)" $'0| no newline\n1| no newline\n2| no newline'
seq 1 300000 >numbers
is "one node, a file as input" "$("$MUSTER" exec lab --node 2 -- sha256sum <numbers)" "$(sha256sum <numbers)"
muster exec lab -- seq 1 200000
is "much from all of them" "$(echo "$out" | wc -l)" 600000
muster exec lab --node 3 -- true
status_is "a node it does not have" 2
like "and how many it has" "$err" "expected at most 2"
muster exec lab -- /no/such/program
status_is "a command that is not there" 3
like "says where" "$err" "node [0-2]: .*no/such/program"
if command -v script >/dev/null; then
	like "a terminal" "$(script -qec "'$MUSTER' exec lab --node 1 -- sh -c 'test -t 0 && tty'" /dev/null </dev/null 2>&1)" "/dev/pts"
fi

# hosts
muster hosts lab
is "a machinefile" "$(echo "$out" | grep -cE '^127\.')" 3
muster hosts lab --format hosts
like "a hosts file" "$out" $'127\.[0-9.]+\tlab-2'
muster hosts lab --format ansible
like "an inventory" "$out" "^\[lab\].*lab-0 ansible_host=127\.[0-9.]+ node_rank=0"
muster hosts lab --format xml
status_is "a format there is not" 2

# a node is lost, and brought back
kill -9 "$(agent 1)"
ok "ls shows it" wait_for 10 ls_says '1 +lost'
ok "the cluster stays" ls_says '2 of 3'
muster exec lab -- true
status_is "exec says who is missing" 3
like "by number" "$err" "node 1"
muster up lab
status_is "up brings it back" 0
ok "it is there" ls_says '1 +up'
muster exec lab -- true
status_is "and answers" 0

# the controller is killed: the nodes live, and it comes back
before=$(agent 0)
kill -9 "$(controller)"
ok "ls says so" wait_for 10 ls_says 'controller gone'
like "and what to do" "$("$MUSTER" ls)" "its nodes end at about .*muster up lab"
muster reap
is "reap leaves it alone" "$out" "nothing left"
muster up lab
status_is "up takes it over" 0
is "the nodes are the same" "$(agent 0)" "$before"
ok "and there" ls_says 'lab +up +local +3 '
killed=$(controller)
kill -9 "$killed"
ok "it is killed again" wait_for 10 gone "$killed"
muster exec lab -- echo here
is "a command brings it back by itself" "$(echo "$out" | sort)" $'0| here\n1| here\n2| here'

# both are gone, as after a reboot
killed=$(controller)
kill -9 "$killed" "$(agent 0)" "$(agent 1)" "$(agent 2)"
ok "all is killed" wait_for 10 gone "$killed"
muster up lab
status_is "nodes that are gone are made again" 0
ok "all of them" ls_says 'lab +up +local +3 '

muster down lab
status_is "down" 0
is "nothing is kept" "$(ls -A "$MUSTER_CLUSTERS" "$MUSTER_NODES_DIR")" $''"$MUSTER_CLUSTERS:"$'\n\n'"$MUSTER_NODES_DIR:"
nothing_is_left "after down nothing is left"
muster down lab
status_is "down of what is not there" 2

# down and reap of a cluster without a controller
"$MUSTER" up -q lab.yaml
killed=$(controller)
kill -9 "$killed"
wait_for 10 gone "$killed"
muster down lab
status_is "down without a controller" 0
nothing_is_left "nothing is left of it"
"$MUSTER" up -q lab.yaml
killed=$(controller)
kill -9 "$killed"
wait_for 10 gone "$killed"
muster reap --clusters
like "reap when it is asked to" "$out" "removed cluster lab"
nothing_is_left "nothing is left of that one"
printf 'cluster: {nodes: 2, lease: 6s}\n' >brief.yaml
"$MUSTER" up -q --name lab brief.yaml
killed=$(controller)
kill -9 "$killed"
wait_for 10 gone "$killed"
touch -d '2 minutes ago' "$(cluster_dir)/control.json"
muster reap
like "reap when its lease is over" "$out" "removed cluster lab"

# nodes that do not come
printf '#!/bin/sh\ncat >/dev/null\nexec sleep 1000\n' >mute
chmod +x mute
echo '{deadline: 1s}' >site.yaml
MUSTER_AGENT=$PWD/mute muster up --site site.yaml lab.yaml
status_is "a cluster that does not come up" 3
like "says which node" "$err" "3 of 3 nodes did not say hello"
nothing_is_left "nothing of it is left"
MUSTER_AGENT=$PWD/mute launch up lab.yaml
ok "one that hangs" wait_for 10 has_line "$SCRATCH/bg.err" "bring-up"
kill -INT "$started"
start_finished 20
is "Ctrl-C while it comes up" "$status" 130
nothing_is_left "nothing of that one is left"

done_testing
