#!/bin/bash
# The lease: when the controller is gone and nobody cleans up, each agent ends its ranks and itself; `muster reap` removes the rest.
. "$(dirname "$0")/lib.sh" || exit 1

cat >site.yaml <<'J'
lease: 2
heartbeat: 0.5
J
cat >job.yaml <<'J'
name: leased
cluster: {nodes: 2}
run: {grace: 1s, command: "echo ready; setsid sleep 1000 & trap '' TERM; while :; do sleep 0.05; done"}
J
ready() { has_line "$(run_dir)/ranks/output-0.txt" ready && has_line "$(run_dir)/ranks/output-1.txt" ready; }
no_process() { [ -z "$(processes_left)" ]; }

muster run --detach --site site.yaml job.yaml
status_is "a run with a short lease" 0
ok "it runs" wait_for 20 ready
agents="$(agent_pid 0) $(agent_pid 1)"
ok "the controller is killed" kill -9 "$(controller_pid)"
for pid in $agents; do
	ok "agent $pid still lives: the lease has just begun" kill -0 "$pid"
done
begin=$SECONDS
ok "every process ends by itself" wait_for 20 no_process
at_most "seconds until then" $((SECONDS - begin)) 12
muster reap
status_is "reap" 0
nothing_is_left "nothing is left"

# A controller that only stops for a while is reached again, and no byte is lost or doubled.
cat >count.yaml <<J
name: pause
cluster: {nodes: 2}
run: {command: "for i in \$(seq 300); do echo line \$i; [ \$i != 20 ] || until [ -e $SCRATCH/go ]; do sleep 0.05; done; sleep 0.01; done"}
J
cat >site.yaml <<'J'
lease: 30
heartbeat: 0.5
J
lines_come() { has_line "$(run_dir)/ranks/output-1.txt" "line 20"; }
start run --site site.yaml count.yaml
ok "lines come" wait_for 20 lines_come
pid=$(controller_pid)
kill -STOP "$pid"
touch "$SCRATCH/go"
sleep 3 # what is tested: longer than the heartbeats allow
kill -CONT "$pid"
start_finished 40
status_is "it ends well after a pause of the controller" 0
for rank in 0 1; do
	ok "rank $rank: every line once, in order" cmp <(seq -f 'line %.0f' 300) <(output $rank)
done
done_testing
