#!/bin/bash
# Sixteen hosts: from nothing, again with the agent there, a few at a time, and on a cluster that stays up.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/hosts.sh"
hosts_start 16

cat >job.yaml <<'J'
cluster: {executor: ssh, hosts: ["h[0-15]"]}
run: {command: 'echo "rank {rank} of {size} at {addr}"'}
J
expected=$(for k in {0..15}; do echo "rank $k of 16 at $(host_address "$k")"; done)
outputs() { for k in {0..15}; do output "$k"; done; }
timed() # NAME SECONDS ARGS...
{
	local name=$1 limit=$2 from=$EPOCHREALTIME
	shift 2
	muster run job.yaml "$@"
	is "$name" "$status $(outputs)" "0 $expected"
	at_most "$name: seconds" "$(awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }')" "$limit"
}
timed "hosts that never saw an agent" 40
timed "a second run" 40
timed "four at a time" 40 --set cluster.at_once=4
ok "the hosts are clean" wait_for 5 hosts_are_clean
echo 'cluster: {executor: ssh, hosts: ["h[0-15]"], at_once: 4}' >lab.yaml
muster up lab.yaml
status_is "sixteen stay up" 0
timed "a job on them" 20 --on lab
muster down lab
status_is "down" 0
ok "the hosts are clean again" wait_for 5 hosts_are_clean
done_testing
