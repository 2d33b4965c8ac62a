#!/bin/bash
# Clusters of a sweep side by side, one chosen of them, and what was predicted beside what came.
. "$(dirname "$0")/lib.sh" || exit 1

cat >job.yaml <<'J'
name: turns
run:
  command: 'i=0; t=$(awk "BEGIN{print 0.12 / {nodes} + 0.01}"); while [ $i -lt 24 ]; do i=$((i + 1)); sleep $t; echo "step $i/24"; done'
progress: {samples: 10}
sweep:
  over: {cluster.nodes: [1, 2, 3]}
  repeat: 2
  stop: {iterations: 10}
J
cat >prices.yaml <<'J'
currency: USD
as_of: 2026-11-01
prices: [{executor: local, per_hour: 36}]
J
muster sweep job.yaml
status_is "a sweep" 0

muster compare --json --at 6
status_is "compare" 0
printf '%s' "$out" >compare.json
is "a row for each cluster, and one of the model" "$(json_value compare.json '[(r["nodes"], len(r["runs"]), r["kind"]) for r in e["rows"]]')" \
	'[[1, 2, "predicted"], [2, 2, "predicted"], [3, 2, "predicted"], [6, 0, "modelled"]]'
is "times are near 24 x (0.12 / nodes + 0.01)" "$(json_value compare.json '[24 * (0.12 / r["nodes"] + 0.01) < r["seconds"][0] < 2 * 24 * (0.12 / r["nodes"] + 0.01) for r in e["rows"]]')" \
	"[true, true, true, true]"
is "an interval holds its value" "$(json_value compare.json 'all(r["seconds"][1] <= r["seconds"][0] <= r["seconds"][2] for r in e["rows"])')" true
is "speed-up and efficiency are against the smallest" "$(json_value compare.json '[e["rows"][0]["speedup"], e["rows"][0]["efficiency"], e["rows"][2]["speedup"] > 1.3, e["rows"][2]["efficiency"] < 1]')" "[1, 1, true, true]"
is "rates are in samples" "$(json_value compare.json '[e["unit"], 30 < e["rows"][0]["rate"] < 80]')" '["samples", true]'
is "it costs a cent a node and second" "$(json_value compare.json 'abs(e["rows"][1]["cost"][0] - 0.02 * (e["rows"][1]["seconds"][0] + e["rows"][1]["overhead"])) < 0.03')" true
is "a verdict for each pair" "$(json_value compare.json '[len(e["pairs"]), "cluster.nodes=3 is " in e["pairs"][1]["verdict"]]')" "[3, true]"

muster compare
is "numbers of every plot are in the JSON" "$(json_value compare.json '[sorted(k for k in ("seconds", "cost", "speedup", "share", "spread") if not r.get(k)) for r in e["rows"]]')" '[[], [], [], ["spread"]]'
like "as text" "$out" 'CLUSTER +NODES +RUNS +TIME IS +TIME +SAMPLES/S +SPEED-UP.*COST USD'
like "with the model of how it scales" "$out" 'model of local: .*[0-9.]+ s / nodes.*, fitted to 3 node counts, '
muster compare --csv
is "as CSV: a line for each, and as many fields" "$(awk -F, '{ print NF }' <<<"$out" | uniq -c | tr -s ' ')" " 4 23"
muster compare --times
like "as times.txt" "$out" '^cluster.nodes=1: [0-9.]+
cluster.nodes=2: [0-9.]+
cluster.nodes=3: [0-9.]+$'
muster compare --html page.html --at 6
like "as a page" "$(cat page.html)" '<h1>turns</h1>.*Time of the whole run.*Speed-up.*<svg.*Time and cost.*cluster.nodes=6'
unlike "that runs no script" "$(cat page.html)" '<script>|<script src'
muster prices
like "prices" "$out" 'in USD, as of 2026-11-01.*local +any +36'

# Which one is the fastest or the cheapest may depend on how busy the machine was.
best() { json_value compare.json "min(e['rows'][:3], key=lambda r: $1)['name']"; }
fastest=$(best "r['seconds'][0] + r['overhead']") cheapest=$(best "r['cost'][0]")
muster choose --fastest
status_is "choose" 0
like "the fastest" "$out" "^$fastest"
like "and writes its job file" "$(cat turns-chosen.yaml)" "nodes: ${fastest#*=}"
unlike "without the sweep" "$(cat turns-chosen.yaml)" 'sweep:'
muster choose --cheapest --out cheap.yaml
like "the cheapest" "$out" "^$cheapest"
muster choose --deadline "$(json_value compare.json 'e["rows"][1]["seconds"][2] + e["rows"][1]["overhead"] + 0.05' | cut -c 1-6)"
like "the cheapest in time" "$out" '^cluster.nodes=2'
nearest=$(best "r['seconds'][2] + r['overhead']") least=$(best "r['cost'][2]")
muster choose --deadline 100ms
status_is "none in time" 1
like "is said, with the nearest" "$err" "no cluster is certain to finish in 100 ms: the nearest is $nearest with [0-9.]+ s, at most [0-9.]+ s .95 %.; --at N,N considers"
muster choose --budget 0.001
like "none so cheap" "$err" "no cluster is certain to cost at most 0.00100: the cheapest is $least with 0.0[0-9]+, "
muster choose --deadline 100ms --budget 0.001
like "neither" "$err" "in 100 ms within the budget: the nearest is $nearest .*; the cheapest is $least with"
muster choose --deadline 1m --budget 1 --fastest
like "both: the fastest of those that fit" "$out" "^$fastest"
muster choose --deadline 1m --budget 1
like "both: the cheapest of those that fit" "$out" "^$cheapest"
muster choose "$(basename "$(run_dir)")" --fastest
like "of a run there is nothing to choose" "$err" 'is a run, expected a sweep'
muster choose nothing-like-it --fastest
like "nor of what is not there" "$err" "'nothing-like-it' is neither a sweep nor a run"
muster choose
status_is "nothing to choose by" 2
echo 'run: {command: "true"}' >mine.yaml
muster choose --fastest --out mine.yaml
status_is "a file of somebody else" 2
is "is left alone" "$(cat mine.yaml)" 'run: {command: "true"}'

muster run -q cheap.yaml
status_is "the chosen one runs" 0
muster compare --json "$(basename "$(run_dir)")"
printf '%s' "$out" >chosen.json
is "what was predicted is beside what came" "$(json_value chosen.json 'abs(e["rows"][0]["expected"]["time"] / e["rows"][0]["seconds"][0] - 1) < 0.5')" true
is "and by how much" "$(json_value chosen.json '[abs(e["rows"][0]["expected"]["off"]) < 0.5, type(e["rows"][0]["expected"]["held"]).__name__]')" '[true, "bool"]'
muster compare
like "the sweep it was chosen from shows it, too" "$out" '1 x local, as chosen: predicted [0-9.]+ s .*, took [0-9.]+ s: [0-9.]+ % (less|more), (with|out)'
cat >wide.yaml <<'J'
name: wide
run:
  command: 'i=0; t=$(awk "BEGIN{print 0.4 / {nodes}}"); while [ $i -lt 10 ]; do i=$((i + 1)); sleep $t; echo "step $i/10"; done'
sweep: {over: {cluster.nodes: [1, 2, 3]}, at_once: 3}
J
muster sweep wide.yaml
muster choose wide --fastest --at 12
like "one that was not run is marked" "$out" '^cluster.nodes=12.*predicted by a scaling model, not run'
like "and has a job file" "$(cat wide-chosen.yaml)" 'nodes: 12'
mkdir elsewhere && echo words >words.txt
sed 's/^progress/inputs: [words.txt]\nprogress/; s/^name: turns/name: paths/; s/1, 2, 3/1/; s/repeat: 2/repeat: 1/' job.yaml >paths.yaml
muster sweep paths.yaml
muster compare paths --at 4
status_is "a model of clusters that differ in nothing" 2
like "is none" "$err" "no kind of cluster was run with two numbers of nodes"
muster choose paths --fastest --out elsewhere/it.yaml
muster run -q elsewhere/it.yaml
status_is "a job file that lies elsewhere finds its inputs" 0
is "a budget in it that the run is known to exceed" "$(cd elsewhere && "$MUSTER" run it.yaml --set budget.max_time=1s 2>&1)" \
	"muster: budget.max_time is 1.0 s, but the run is expected to take at least $(sed -n 's/^  low: \(.*\)/\1/p' elsewhere/it.yaml | awk '{ printf "%.1f", $1 }') s (expected.low)"

# Runs of one name that are none of one kind.
turns=("$MUSTER_RUNS"/turns-*)
A=$(basename "${turns[0]}")
muster compare "$A" "$A"
like "a run that is named twice" "$err" "found the run $A twice"
muster run -q cheap.yaml --set cluster.nodes=4
muster compare "$(basename "$(run_dir)")" "$(json_value "$(echo "$MUSTER_RUNS"/sweeps/paths-*/sweep.json)" 'e["trials"][0]["run"]')"
like "one run each is no proof" "$out" ' was [0-9.]+ times as fast, from single runs'
muster run -q cheap.yaml --set run.env.LR=1
muster compare "$A" "$(basename "$(run_dir)")"
like "another environment is another thing" "$err" "these runs are of different jobs: '.*' and '.* with LR=1'; compare them with --different"
cp -r "$MUSTER_RUNS/$A" "$MUSTER_RUNS/$A-cut"
cut=$MUSTER_RUNS/$A-cut
head -c "$(($(stat -c %s "$MUSTER_RUNS/$A/events.jsonl") / 2))" "$MUSTER_RUNS/$A/events.jsonl" >"$cut/events.jsonl"
muster compare "$A" "$A-cut"
status_is "a run that was half written" 0
like "is one that failed, and it is said why" "$out" "x local: $A-cut: lost: its controller was killed"
rm -r "$cut"
start run cheap.yaml --set run.command='i=0; while [ $i -lt 400 ]; do i=$((i + 1)); sleep 0.1; echo "step $i/400"; done'
wait_for 20 sh -c "grep -q '\"done\":9' '$(run_dir)/metrics.jsonl'"
muster compare "$(basename "$(run_dir)")"
like "one that goes on is predicted" "$out" 'predicted .*1 x local: less reliable: one of its runs has not ended'
muster cancel "$(basename "$(run_dir)")"
start_finished 20
sweep=$(echo "$MUSTER_RUNS"/sweeps/turns-*)
removed=$(json_value "$sweep/sweep.json" 'e["trials"][-1]["run"]')
rm -r "$MUSTER_RUNS/${removed:?}"
muster compare turns
status_is "a run of the sweep that was removed" 0
like "is no reason not to compare the others" "$out" "turns-.*: lost: no run '"

muster run -q mine.yaml
muster compare "$(basename "$(run_dir)")" "$A"
status_is "runs that did different things" 2
like "are refused with the difference" "$err" "these runs are of different jobs: 'true' and 'i=0; t="
rm prices.yaml
muster choose --cheapest
status_is "the cheapest without prices" 2
muster compare --at 0
status_is "no such number of nodes" 2
muster compare no-such-sweep
status_is "no such sweep or run" 2

# Of very many clusters each is held against the smallest one only.
/usr/bin/python3 - "$(echo "$MUSTER_RUNS"/sweeps/paths-*/sweep.json)" <<'P'
import json, sys
e = json.load(open(sys.argv[1]))
e["points"] = [{"name": "n=%d" % i, "sets": ["n=%d" % i]} for i in range(120)]
e["trials"] = [dict(e["trials"][0], point=i) for i in range(120)]
json.dump(e, open(sys.argv[1], "w"))
P
muster compare paths --json
printf '%s' "$out" >many.json
is "pairs of many clusters" "$(json_value many.json '[len(e["rows"]) >= 120, len(e["pairs"]) == len(e["rows"]) - 1, set(p["a"] for p in e["pairs"]) == {0}]')" "[true, true, true]"
done_testing
