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
is "each is a run" "$(find "$MUSTER_RUNS" -maxdepth 1 -name 'swept-*' | wc -l)" 8
like "runs stop when enough was seen" "$(json_value "$sweep/sweep.json" '[t["why"] for t in e["trials"] if t["point"] == 0][0]')" "the stop condition of the job is met"

is "its clusters are compared, and it is written down" "$(cut -d: -f1 "$sweep/times.txt")" "cluster.nodes=1 run.env.X=good
cluster.nodes=2 run.env.X=good
cluster.nodes=3"
like "on standard output too" "$out" "^CLUSTER .*cluster.nodes=1 run.env.X=bad +1 +2 +failed"
like "with why one failed" "$out" "cluster.nodes=1 run.env.X=bad: swept-.*: failed: .*exited with status 3"
like "beside a page" "$(cat "$sweep/compare.html")" "<h1>swept</h1>"
like "how long it will still take is told" "$err" '.1/8. .* after [0-9.]+ m?s.*; about [0-9]+ s to go'

muster sweep sweep.yaml
status_is "once more" 1
like "says that all is done" "$err" "4 points, 8 runs, all of them done"
is "nothing is done again" "$(find "$MUSTER_RUNS" -maxdepth 1 -name 'swept-*' | wc -l)" 8

cp sweep.yaml kept.yaml
sed -i 's/repeat: 2/repeat: 1/' sweep.yaml
muster sweep sweep.yaml
mv kept.yaml sweep.yaml
like "a job file that was changed is another sweep, which is said" "$err" "this is a new sweep: the job file or --set has changed since swept-.*, of which 8 of 8 runs are done"

# A table on a terminal, several at a time, one of them tried again.
cat >term.yaml <<'J'
name: term
run:
  command: |
    i=0; while [ $i -lt 20 ]; do i=$((i + 1)); sleep 0.1; echo "step $i/20"; done
    [ {nodes}{rank} != 21 ] || [ -e $SCRATCH/tried ] || { touch $SCRATCH/tried; exit 1; }
  env: {SCRATCH: "SCRATCH_DIR"}
  retries: 1
sweep: {over: {cluster.nodes: [1, 2], "run.env.A_LONG_NAME": [abcdefghijklmnopqrstuvwxyz]}, at_once: 2}
J
sed -i "s|SCRATCH_DIR|$SCRATCH|" term.yaml
script -qec "stty cols 60 rows 20; '$MUSTER' sweep term.yaml" term.out >/dev/null
like "runs that go on are shown, cut where the screen ends" "$(cat -v term.out)" '> cluster.nodes=1 run.env.A_LONG_NAME=a.*~'
like "and what remains" "$(cat -v term.out)" '2 runs done, 0 failed; [0-9]+ s elapsed; about [0-9]+ s to go'
at_most "no line of it is longer than the screen" "$(tr -d '\r' <term.out | sed 's/\x1b\[[0-9]*[A-Z]//g' | awk '/^  / { if (length > m) m = length } END { print m }')" 59
is "a run that was tried again counts as one" "$(grep -c 'ok after' term.out)" 2

# Interrupted, and killed: the same command goes on.
sed 's/sleep 0.02/sleep 0.2/; s/^name: swept/name: slow/; s/, bad\]/, fine]/; s/bad}/fine}/' sweep.yaml >slow.yaml
setsid "$MUSTER" sweep slow.yaml >slow.out 2>slow.err &
pid=$!
ok "a run of it" wait_for 20 sh -c "ls '$MUSTER_RUNS' | grep -q '^slow-'"
kill -INT "$pid"
wait "$pid"
is "interrupted: status" "$?" 130
like "it says how to go on" "$(cat slow.err)" "repeat the command to resume it"
sweep=$(echo "$MUSTER_RUNS"/sweeps/slow-*)
is "the run that was cut off does not count" "$(json_value "$sweep/sweep.json" 'len([t for t in e["trials"] if t["outcome"] is None])')" 8
setsid "$MUSTER" sweep slow.yaml >slow.out 2>slow.err &
pid=$!
ok "a point is done" wait_for 40 sh -c "grep -q 'outcome\": \"ok' '$sweep/sweep.json'"
muster sweep slow.yaml
status_is "two processes at one sweep" 2
like "are one too many" "$err" "another process is running sweep"
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
sed '/exclude:/d; /include:/d' sweep.yaml >keys.yaml
muster sweep keys.yaml --set sweep.over='{sweep.repeat: [1, 2]}'
like "the sweep's own keys are none to vary" "$err" "found 'sweep.repeat' in 'sweep.over', expected keys of the job"
muster sweep keys.yaml --set sweep.over='{}'
like "nothing to vary" "$err" "found an empty map for 'sweep.over'"
muster sweep keys.yaml --set sweep.over='{cluster.nodes: []}'
like "a list without values" "$err" "found an empty list for 'sweep.over.cluster.nodes'"
muster sweep keys.yaml --set sweep.over='{cluster.nodez: [1]}'
like "a key that is none" "$err" "at the point 'cluster.nodez=1': .*unknown key 'nodez'.*did you mean 'nodes'"
printf 'run: {command: "true"}\nsweep: {over: {cluster.nodes: [1]}, repeat: 200}\n' >many.yaml
muster sweep many.yaml
status_is "200 runs without --yes" 2
like "are asked about" "$err" "found 200 runs, expected --yes"
muster run sweep.yaml -q
status_is "the job itself can still be run" 0
done_testing
