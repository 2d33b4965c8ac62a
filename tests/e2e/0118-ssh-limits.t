#!/bin/bash
# Limits on hosts that ssh reaches: the agent makes the control group there, it goes with the node, and what cannot be limited is refused by name.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/hosts.sh"
hosts_start 2

cat >cpu.yaml <<'J'
cluster: {executor: ssh, hosts: [h0], cpus: 200m}
run:
  command: |
    python=/usr/bin/python3
    $python -c '
    import time
    wall = time.monotonic(); cpu = time.process_time()
    while time.monotonic() < wall + 3: pass
    print("share %.3f" % ((time.process_time() - cpu) / (time.monotonic() - wall)))'
J
cat >memory.yaml <<'J'
cluster: {executor: ssh, hosts: [h0, h1], memory: 64Mi}
run:
  command: |
    if [ {rank} = 1 ]; then echo before; head -c 500000000 /dev/zero | tail; exit $?; fi
    exec sleep 1000
J
cat >stay.yaml <<'J'
cluster: {executor: ssh, hosts: [h0, h1], memory: 64Mi, cpus: 0.5}
run: {command: sleep 1000}
J
muster run cpu.yaml
if [ "$status" = 3 ] && [[ $err =~ cannot\ be\ set ]]; then
	skip "limits" "control groups cannot be written here"
	done_testing
fi
status_is "a CPU limit" 0
at_most "no more CPU than allowed" "$(output 0 | sed -n 's/^share //p')" 0.26

muster run memory.yaml
status_is "more memory than allowed" 1
like "why: rank and memory" "$(why)" "rank 1.*out of memory"
like "what it printed before is kept" "$(output 1)" "^before"
ok "nothing is left on the hosts" wait_for 5 hosts_are_clean
is "no control group is left" "$(cgroups_left)" ""

groups() { find /sys/fs/cgroup -type d -path "*/muster/$(basename "$(run_dir)").*/node-1" 2>/dev/null; }
start run stay.yaml
wait_for 20 event_seen start
ok "a node has its group" test -n "$(groups)"
kill -9 "$(pid_in "$FARM/h1/nodes/$(basename "$(run_dir)")/node-1/agent.json")"
start_finished 20
is "an agent that is killed" "$status $(outcome)" "3 lost"
is "its group goes too" "$(groups)" ""
ok "nothing is left on the hosts" wait_for 5 hosts_are_clean

start run stay.yaml
wait_for 20 event_seen start
kill -9 "$(controller_pid)"
start_finished 20
ok "a controller that is killed leaves groups" test -n "$(groups)"
muster reap
status_is "reap" 0
is "removes them" "$(groups)" ""

# Jobs on a cluster are in its nodes' groups.
echo 'cluster: {executor: ssh, hosts: [h0, h1], memory: 64Mi}' >lab.yaml
muster up -q lab.yaml
label=$(basename "$MUSTER_CLUSTERS"/lab/*)
node_groups() { find /sys/fs/cgroup -type d -path "*/muster/$label.*/node-1" 2>/dev/null | sed 's|.*/muster/||' | sort -u | wc -l; }
ls_says() { "$MUSTER" ls lab | grep -qE -- "$1"; }
kill -9 "$(pid_in "$FARM/h1/nodes/$label/node-1/agent.json")"
ok "an agent of a cluster is killed" wait_for 20 ls_says '1 +lost'
muster up -q lab
is "another one has the only group of the node" "$status $(node_groups)" "0 1"
muster run memory.yaml --on lab
is "a job on a cluster with limits" "$status" 1
like "has them too" "$(why)" "rank 1.*out of memory"
muster run stay.yaml --on lab
like "and no others" "$err" "limits .cpus. of node 0"
muster down lab
ok "nothing is left on the hosts" wait_for 5 hosts_are_clean

host_prepare 1 <<<'mount -t tmpfs -o ro tmpfs /sys/fs/cgroup'
muster run memory.yaml
is "a host without control groups" "$status" 3
like "is named, with what is missing" "$(why)" "node 1 on host 'h1': .*a memory limit cannot be set on this machine: "
ok "nothing is left on the hosts" wait_for 5 hosts_are_clean
done_testing
