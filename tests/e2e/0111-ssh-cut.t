#!/bin/bash
# Hosts with a wire each: one that is cut for a while, one that stays cut, and traffic between hosts.
. "$(dirname "$0")/lib.sh"
. "$TESTS/hosts.sh"
hosts_start 2 apart

cat >long.yaml <<'Y'
cluster: {executor: ssh, hosts: [h0, h1], lease: 40s}
run: {command: 'i=0; while [ $i -lt 1500 ]; do i=$((i+1)); echo "{rank} line $i of many"; [ $((i % 100)) != 0 ] || sleep 1; done'}
Y
start run long.yaml
wait_for 20 has_line "$(run_dir)/ranks/output-1.txt" "line 300 "
host_cut 1
before=$(wc -c <"$(run_dir)/ranks/output-1.txt")
sleep 10 # this is what is tested
is "nothing comes through a wire that is cut" "$(wc -c <"$(run_dir)/ranks/output-1.txt")" "$before"
host_mend 1
start_finished 60
is "a wire that was cut for 10 s: the run goes on" "$status" 0
for r in 0 1; do
	is "rank $r lost and doubled nothing" "$(output $r | md5sum)" "$(for i in $(seq 1500); do echo "$r line $i of many"; done | md5sum)"
done
ok "and nothing is left" wait_for 5 hosts_are_clean

# The far side ends itself when nobody comes back; here the run is lost, and reap finds the host again.
cat >stay.yaml <<'Y'
cluster: {executor: ssh, hosts: [h0, h1], lease: 6s}
run: {command: sleep 1000}
Y
start run stay.yaml
wait_for 20 in_state running
wait_for 20 test -e "$FARM/h1/nodes/$(basename "$(run_dir)")/node-1/agent.json"
pid=$(pid_in "$FARM/h1/nodes/$(basename "$(run_dir)")/node-1/agent.json")
moment=$(date +%s.%N)
host_cut 1
ok "the agent behind a wire that stays cut ends itself" wait_for 20 gone "$pid"
at_most "when its lease is over: after seconds" "$(date +%s.%N | awk -v from="$moment" '{ printf "%.2f", $1 - from }')" 11
start_finished 90
finished=$(date +%s.%N)
lost=$(events 'e["ts"] if e["type"] == "lost" else None')
at_most "and that is when the run calls the node lost" \
	"$(awk -v from="$moment" -v to="$lost" 'BEGIN { printf "%.2f", to - from }')" 11
at_most "seconds from there until the command returns" "$(awk -v from="$lost" -v to="$finished" 'BEGIN { printf "%.2f", to - from }')" 12
like "what cannot be known to be clean is in the receipt" \
	"$(events '[x["what"] + " " + x["id"] for x in e["left"]] if e["type"] == "receipt" else None')" "host h1"
is "and the run is lost" "$status $(outcome)" "3 lost"
like "which names the node" "$(why)" "node 1 is lost"
ok "the host is remembered" test -s "$XDG_STATE_HOME/muster/ssh/$(basename "$(run_dir)").json"
host_mend 1
wait_for 10 ssh h1 true
muster reap
status_is "reap, the wire mended" 0
ok "finds it clean" wait_for 5 hosts_are_clean
done_testing
