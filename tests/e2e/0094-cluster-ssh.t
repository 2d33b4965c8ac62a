#!/bin/bash
# A cluster of hosts that ssh reaches and that stays up: jobs, commands, copies, more and fewer hosts; broken connections, a controller that stands
# still or is killed, a host that is lost and comes back; down while a job runs, and reap.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/hosts.sh"
hosts_start 4

cat >lab.yaml <<'J'
cluster: {executor: ssh, hosts: ["h[0-3]"], nodes: 2, lease: 7s}
actions:
  install: ["echo {x} >installed", {run: "echo once with {x}", once: true}]
J
echo '{heartbeat: 1, deadline: 5s}' >site.yaml
cat >hello.yaml <<'J'
run: {command: 'echo "rank {rank} of {size} at {addr}"; echo {rank} >out.txt'}
outputs: [out.txt]
J
cat >long.yaml <<'J'
run: {grace: 1s, command: 'i=0; echo begun; while [ ! -e go-on ] && [ $i -lt 1000 ]; do i=$((i+1)); echo "line $i"; sleep 0.1; done; echo went on'}
J
cluster_dir() { echo "$MUSTER_CLUSTERS"/lab/*; }
controller() { pid_in "$(cluster_dir)/control.json"; }
agent() { pid_in "$FARM/h$1/nodes/$(basename "$(cluster_dir)")/node-$1/agent.json"; }
ls_says() { "$MUSTER" ls lab | grep -qE -- "$1"; }
listed() { json_value "$XDG_STATE_HOME/muster/ssh/$(basename "$(cluster_dir)").json" '" ".join(h["host"] for h in e["hosts"])'; }
kill_and_wait() { kill -9 "$1" && wait_for 10 gone "$1"; }
runs() { [ "$(grep -lx begun "$(run_dir)"/ranks/output-*.txt 2>/dev/null | wc -l)" = "$1" ]; }
says_more() # than so many lines
{
	[ "$(wc -l <"$(run_dir)/ranks/output-1.txt")" -gt "$1" ]
}
no_jobs() { [ -z "$(find "$FARM"/h*/nodes -path '*/jobs/*')" ]; }
one_line_after_the_other() { awk '/^line / { if ($2 != ++n) exit 1 } END { if (!n) exit 1 }' "$(run_dir)/ranks/output-$1.txt"; }

muster up lab.yaml --site site.yaml
status_is "up" 0
ok "ls has it" ls_says 'lab +up +ssh +2 '
muster ls lab
like "with the hosts' addresses" "$out" "1 +up +$(host_address 1)"
is "only these hosts are written down" "$(listed)" "h0 h1"
agents="$(agent 0) $(agent 1)"
for i in 1 2 3; do
	muster run hello.yaml --on lab
	is "job $i on it" "$status $(output 1)" "0 rank 1 of 2 at $(host_address 1)"
done
is "outputs come back" "$(cat "$(run_dir)"/outputs/node-*/out.txt | tr '\n' ' ')" "0 1 "
ok "nothing of the jobs is on the hosts" no_jobs
is "the nodes are the same" "$(agent 0) $(agent 1)" "$agents"

muster exec lab -- sh -c 'echo "at $MUSTER_NODE"; exit $((MUSTER_NODE + 3))'
is "exec on all" "$status $(echo "$out" | sort | tr '\n' ';')" "4 0| at 0;1| at 1;"
muster exec lab --node 1 -- sh -c 'echo "at $MUSTER_NODE"'
is "exec on one" "$status $out" "0 at 1"
like "a terminal of the user's size" "$(script -qec "stty rows 33 cols 77; '$MUSTER' exec lab --node 1 -- sh -c 'test -t 0 && stty size'" /dev/null </dev/null 2>&1)" "33 77"
muster action lab install --set x=ten
is "an action" "$status $(echo "$out" | tr '\n' ';')" "0 0| once with ten;"
printf 'inputs: [{from: tree, live: true}]\nrun: {command: "true"}\n' >live.yaml
muster run live.yaml --on lab
status_is "a live input of a job on hosts that do not see it" 2
like "is refused before anything is done" "$err" "'tree' is live.*ssh executor do not see"
mkdir -p tree/sub && seq 100000 >tree/sub/numbers && echo two >tree/two
muster cp tree lab:there
status_is "cp to all" 0
muster exec lab -- sh -c 'cat there/sub/numbers there/two installed | sha256sum'
is "all of it is there" "$(echo "$out" | cut -c 4-67 | sort -u)" "$(cat tree/sub/numbers tree/two <(echo ten) | sha256sum | cut -c -64)"
muster cp lab/1:there back
ok "cp from one" diff -r tree back
muster cp lab:there/two both
is "cp from all" "$status $(cat both/node-*/two | tr '\n' ' ')" "0 two two "

muster scale lab 5
is "more hosts than there are" "$status" 3
like "is refused with their number" "$err" "found 5 nodes, expected 1 to 4, the number of hosts"
muster scale lab 4
status_is "scale up" 0
is "two hosts more are written down" "$(listed)" "h0 h1 h2 h3"
muster run hello.yaml --on lab
is "a job on four" "$status $(output 3)" "0 rank 3 of 4 at $(host_address 3)"
muster scale lab 1
status_is "scale down" 0
is "the others are clean" "$(find "$FARM"/h[123]/nodes -mindepth 1 2>/dev/null)" ""
is "and not written down any more" "$(listed)" "h0"
muster run hello.yaml --on lab
is "a job on one" "$status $(find "$(run_dir)/ranks" -name 'output*' | wc -l)" "0 1"
muster scale lab 2
is "the first one is the same, through all this" "$(agent 0)" "${agents% *}"

muster hosts lab
is "a machinefile" "$out" "$(host_address 0)"$'\n'"$(host_address 1)"
muster hosts lab --format ansible
is "an inventory, of names that ssh knows" "$out" $'[lab]\nlab-0 ansible_host=h0 node_rank=0\nlab-1 ansible_host=h1 node_rank=1'
echo "$out" >hosts.ini
muster run hello.yaml --set 'cluster={executor: ssh, inventory: hosts.ini, group: lab}'
is "which muster takes itself" "$status $(output 1)" "0 rank 1 of 2 at $(host_address 1)"

# Connections break, the controller stands still, and is killed: a job that runs does not notice.
start run long.yaml --on lab
ok "a long job" wait_for 20 runs 2
host_drop 0
host_drop 1
ok "it goes on when all connections are dropped" wait_for 20 says_more "$(($(wc -l <"$(run_dir)/ranks/output-1.txt") + 20))"
host_down 1
ok "the host whose sshd is killed is missed" wait_for 20 ls_says '1 +away'
host_up 1
ok "and comes back" wait_for 20 ls_says '1 +up'
stopped=$(controller)
kill -STOP "$stopped"
sleep 3 # three heartbeats
kill -CONT "$stopped"
ok "a controller that stood still has them back" wait_for 20 ls_says 'lab +busy +ssh +2 '
ok "and the job's output goes on" wait_for 20 says_more "$(wc -l <"$(run_dir)/ranks/output-1.txt")"
kill_and_wait "$(controller)"
muster exec lab --node 1 -- echo here
is "after it was killed a command brings it back" "$status $out" "0 here"
muster exec lab -- sh -c "touch ../jobs/$(basename "$(run_dir)")/node-\$MUSTER_NODE/out/go-on"
start_finished 30
is "the job ends well" "$status" 0
ok "with every line once" one_line_after_the_other 0
ok "on both" one_line_after_the_other 1
ok "nothing of it is on the hosts" wait_for 5 no_jobs
is "the nodes are the same still" "$(agent 0)" "${agents% *}"

# A host that stays away is lost and can be brought back; so can all of them, as when the machine slept for long.
host_down 1
lost=$(agent 1)
ok "a host that stays away is lost" wait_for 30 ls_says '1 +lost'
ok "its agent has ended by itself" wait_for 20 gone "$lost"
muster up lab
is "up with the host away" "$status" 3
like "names it, with ssh's words" "$err" "node 1 on host 'h1': no agent in time: .*Connection refused"
muster exec lab --node 0 -- echo here
is "the other one is there" "$status $out" "0 here"
host_up 1
wait_for 10 ssh h1 true
muster up lab
status_is "up brings it back" 0
muster run hello.yaml --on lab
is "a job on it" "$status $(output 1)" "0 rank 1 of 2 at $(host_address 1)"
agents="$(agent 0) $(agent 1)"
kill_and_wait "$(controller)"
ok "the agents end when nobody comes back" wait_for 30 gone "${agents% *}"
ok "both" wait_for 30 gone "${agents#* }"
muster up lab
status_is "up makes new ones" 0
ok "and there it is" ls_says 'lab +up +ssh +2 '

start run long.yaml --on lab
ok "a last job" wait_for 20 runs 2
muster down lab
status_is "down" 0
start_finished 20
is "the job is cancelled" "$status $(why)" "130 cancelled: its cluster is being taken down"
ok "nothing is left on the hosts" hosts_are_clean

"$MUSTER" up -q lab.yaml
kill_and_wait "$(controller)"
muster reap
like "reap leaves alone what may come back" "$out" "nothing left"
muster reap --clusters
like "unless it is asked to" "$out" "removed cluster lab"
ok "then nothing is left on the hosts" hosts_are_clean
done_testing
