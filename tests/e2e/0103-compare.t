#!/bin/bash
# Clusters of a sweep side by side, one chosen of them, and what was foretold beside what came.
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
like "as text" "$out" 'CLUSTER +NODES +RUNS +TIME IS +TIME +SAMPLES/S +SPEED-UP.*COST USD'
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
like "prices" "$out" 'in USD, 2026-11-01.*local +any +36'

muster choose --fastest
status_is "choose" 0
like "the fastest" "$out" '^cluster.nodes=3'
like "and writes its job file" "$(cat turns-chosen.yaml)" 'nodes: 3'
unlike "without the sweep" "$(cat turns-chosen.yaml)" 'sweep:'
muster choose --cheapest --out cheap.yaml
like "the cheapest" "$out" '^cluster.nodes=1'
muster choose --deadline 2500ms
like "the cheapest in time" "$out" '^cluster.nodes=2'
muster choose --deadline 100ms
status_is "none in time" 1
like "is said, with the fastest" "$err" 'no cluster is sure to do it in time: the fastest is cluster.nodes=3'
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
is "what was foretold is beside what came" "$(json_value chosen.json 'abs(e["rows"][0]["expected"]["time"] / e["rows"][0]["seconds"][0] - 1) < 0.15')" true
muster run -q mine.yaml
muster compare latest "$(basename "$(ls -d "$MUSTER_RUNS"/turns-* | head -n 1)")"
status_is "runs that did different things" 2
like "are refused with the difference" "$err" "these runs did different things: 'true' and 'i=0; t="
rm prices.yaml
muster choose --cheapest
status_is "the cheapest without prices" 2
muster compare --at 0
status_is "no such number of nodes" 2
muster compare no-such-sweep
status_is "no such sweep or run" 2
done_testing
