#!/bin/bash
# One job at many points: each a run of its own, what is done is not done again, what fails is kept as failed.
. "$(dirname "$0")/lib.sh" || exit 1

cat >sweep.yaml <<'J'
name: swept
run:
  command: |
    if [ "$X" = bad ]; then echo "no luck"; exit 3; fi
    i=0; while [ $i -lt 20 ]; do i=$((i + 1)); sleep 0.02; echo "step $i/20"; done
  env: {X: good}
sweep:
  over: {cluster.nodes: [1, 2], run.env.X: [good, bad]}
  exclude: [{cluster.nodes: 2, run.env.X: bad}]
  include: [{cluster.nodes: 3}]
  repeat: 2
  stop: {iterations: 8}
J

muster sweep sweep.yaml --dry-run
status_is "a dry run" 0
is "prints the points" "$out" "cluster.nodes=1 run.env.X=good
cluster.nodes=1 run.env.X=bad
cluster.nodes=2 run.env.X=good
cluster.nodes=3"
ok "and makes nothing" test ! -e "$MUSTER_RUNS/sweeps"

muster sweep sweep.yaml
status_is "a sweep in which a point fails" 1
sweep=$(echo "$MUSTER_RUNS"/sweeps/swept-*)
is "every point was run twice" "$(json_value "$sweep/sweep.json" 'sorted([t["point"], t["round"]] for t in e["trials"])')" \
	"[[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1], [3, 0], [3, 1]]"
is "the first round comes before the second" "$(json_value "$sweep/sweep.json" '[t["round"] for t in e["trials"]]')" "[0, 0, 0, 0, 1, 1, 1, 1]"
is "only the bad ones failed" "$(json_value "$sweep/sweep.json" 'sorted(set((t["point"], t["outcome"]) for t in e["trials"]))')" \
	'[[0, "ok"], [1, "failed"], [2, "ok"], [3, "ok"]]'
like "with why" "$(json_value "$sweep/sweep.json" '[t["why"] for t in e["trials"] if t["point"] == 1][0]')" "exited with status 3"
is "each is a run" "$(ls "$MUSTER_RUNS" | grep -c '^swept-')" 8
like "runs stop when enough was seen" "$(json_value "$sweep/sweep.json" '[t["why"] for t in e["trials"] if t["point"] == 0][0]')" "enough iterations were seen"

muster sweep sweep.yaml
status_is "once more" 1
is "nothing is done again" "$(ls "$MUSTER_RUNS" | grep -c '^swept-')" 8

# Interrupted, and killed: the same command goes on.
sed 's/sleep 0.02/sleep 0.2/; s/^name: swept/name: slow/; s/, bad\]/, fine]/; s/bad}/fine}/' sweep.yaml >slow.yaml
setsid "$MUSTER" sweep slow.yaml >slow.out 2>slow.err &
pid=$!
ok "a run of it" wait_for 20 sh -c "ls '$MUSTER_RUNS' | grep -q '^slow-'"
kill -INT "$pid"
wait "$pid"
is "interrupted: status" "$?" 130
like "it says how to go on" "$(cat slow.err)" "the same command goes on with it"
sweep=$(echo "$MUSTER_RUNS"/sweeps/slow-*)
is "the run that was cut off does not count" "$(json_value "$sweep/sweep.json" 'len([t for t in e["trials"] if t["outcome"] is None])')" 8
setsid "$MUSTER" sweep slow.yaml >slow.out 2>slow.err &
pid=$!
ok "a point is done" wait_for 40 sh -c "grep -q 'outcome\": \"ok' '$sweep/sweep.json'"
muster sweep slow.yaml
status_is "two processes at one sweep" 2
like "are one too many" "$err" "is being run by another process"
kill -KILL "$pid"
wait "$pid"
muster reap
before=$(json_value "$sweep/sweep.json" 'sorted(t["run"] for t in e["trials"] if t["outcome"] == "ok")')
muster sweep slow.yaml
status_is "after a SIGKILL" 0
is "what was done is kept" "$(json_value "$sweep/sweep.json" "set($before) <= set(t['run'] for t in e['trials'] if t['outcome'] == 'ok')")" true
is "and the rest is done" "$(json_value "$sweep/sweep.json" 'sorted(set(t["outcome"] for t in e["trials"]))')" '["ok"]'

# What cannot be is said before anything is done.
sed 's/\[1, 2\]/[1, many]/; s/^name: swept/name: wrong/; s/{cluster.nodes: 2, run.env.X: bad}/{cluster.nodes: 1, run.env.X: bad}/' sweep.yaml >wrong.yaml
muster sweep wrong.yaml
status_is "a value that cannot be" 2
like "is named with its point" "$err" "at the point 'cluster.nodes=many run.env.X=good': .*expected a whole number"
ok "and nothing was begun" test ! -e "$(echo "$MUSTER_RUNS"/sweeps/wrong-*)"
printf 'run: {command: "true"}\nsweep: {over: {cluster.nodes: [1]}, repeat: 200}\n' >many.yaml
muster sweep many.yaml
status_is "200 runs without --yes" 2
like "are asked about" "$err" "200 runs are to be made; say --yes"
muster run sweep.yaml -q
status_is "the job itself can still be run" 0
done_testing
