#!/bin/bash
# The controller is killed and nobody is there any more: what it made goes by itself, within the lease and the Jobs' own deadlines; at once
# with muster reap, which touches nothing of a run that lives.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools
cat >wait.yaml <<'J'
name: wait
cluster: {executor: kubernetes, nodes: 2, image: "localhost/tools:1", lease: 6s}
run: {command: "echo up; exec sleep 1000", grace: 1s}
J
running() { [ "$(cat "$(run_dir)"/ranks/output-*.txt 2>/dev/null | grep -c up)" -eq 2 ]; }
begin() # NAME [ARGS...]
{
	local name=$1
	shift
	start run wait.yaml "$@"
	wait_for 60 running || fail "$name: it runs" "$(cat "$SCRATCH/bg.err")"
}

begin "one that is killed"
dead=$(run_dir)
dead_id=$(basename "$dead")
kill -9 "$(controller_pid)"
start_finished 10
begin "another run"
muster reap
status_is "reap" 0
like "removes what the dead one left" "$out" "$dead_id: removed"
is "all of it" "$(kubectl get jobs,pods -l "muster.run=$dead_id" -o name)" ""
is "and nothing of the one that lives" "$(kubectl get pods --field-selector status.phase=Running -o name | wc -l)" 2
is "the dead one's record is closed" "$(outcome "$dead")" lost

kill -9 "$(controller_pid)"
start_finished 10
pods_ended() { [ -z "$(kubectl get pods --field-selector status.phase=Running -o name)" ]; }
ok "nobody is there: the agents end when their lease is over" wait_for 60 pods_ended
ok "and what is left of them goes, too" wait_for 120 kube_nothing_left
kube_done_testing
