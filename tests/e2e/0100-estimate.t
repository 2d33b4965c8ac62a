#!/bin/bash
# Iterations are timed as they pass, the whole run is predicted from the first of them, and a run that was only to find that out stops there.
. "$(dirname "$0")/lib.sh" || exit 1

cat >turns.yaml <<'J'
name: turns
cluster: {nodes: 2}
run:
  command: sleep 0.3; i=0; while [ $i -lt 40 ]; do i=$((i + 1)); sleep 0.05; echo "turn $i is over"; done
progress: {pattern: 'turn (?<done>\d+) is over', total: 40}
J
muster run turns.yaml
status_is "a whole run" 0
report=$(run_dir)/report.json
is "all turns are in the report" "$(json_value "$report" 'e["estimate"]["gone"]')" 40
is "the time before them is apart" "$(json_value "$report" '0.25 < e["estimate"]["init"] < 1')" true

muster run turns.yaml --set stop.iterations=10
status_is "a run that stops when enough was seen" 0
events=$(run_dir)/events.jsonl report=$(run_dir)/report.json
is "it says that it has" "$(json_lines "$events" '(e["seen"] >= 8, e["gone"] >= 11, e["gone"] < 40) if e["type"] == "enough" else None')" "[true, true, true]"
is "it ends well" "$(json_value "$report" '(e["outcome"], e["why"])')" '["ok", "the stop condition of the job is met"]'
is "the whole run would take 0.3 and 40 times 0.05 s" "$(json_value "$report" '(lambda t: t[1] <= t[0] <= t[2] and 2.2 < t[0] < 4)(e["estimate"]["total"])')" true

muster report
like "the report says it in words" "$out" 'estimate +whole run predicted to take .* iterations seen'
like "so does its page" "$(cat "$(run_dir)/report.html")" '<h2>Estimate</h2><p>the stop condition of the job is met; whole run predicted to take .* iterations seen'

muster run turns.yaml --set stop.within=40% --set progress.total=4000
status_is "a run that stops when the time is known well enough" 0
is "it is" "$(json_value "$(run_dir)/report.json" '(lambda t: t[2] - t[0] <= 0.4 * t[0])(e["estimate"]["total"])')" true

# What is said when a steady program is known within 5 % is what it takes when it may go on; one run may begin a fifth of a second later than another.
cat >steady.yaml <<'J'
name: steady
run:
  command: >-
    /usr/bin/python3 -uc 'import time; start = time.monotonic();
    [(time.sleep(max(0, start + 0.05 * i - time.monotonic())), print("step %d/160" % i)) for i in range(1, 161)]'
J
muster run steady.yaml --set stop.within=5%
status_is "a steady program that stops when its time is known" 0
cp "$(run_dir)/report.json" predicted.json
is "stops early" "$(json_value predicted.json '(e["why"], 10 <= e["estimate"]["gone"] < 120)')" '["the stop condition of the job is met", true]'
is "and knows it within that" "$(json_value predicted.json '(lambda t: max(t[2] - t[0], t[0] - t[1]) <= 0.05 * t[0])(e["estimate"]["total"])')" true
muster run steady.yaml
actual=$(json_value "$(run_dir)/report.json" 'e["estimate"]["total"][0]')
is "the whole run takes what was predicted" "$(json_value predicted.json "(lambda t: t[1] - 0.2 <= $actual <= t[2] + 0.2)(e['estimate']['total'])")" true

muster run turns.yaml --set progress.pattern='turn no (\d+) done'
status_is "a pattern that nothing matches" 0
like "is said, with the nearest line" "$(json_lines "$(run_dir)/events.jsonl" 'e["why"] if e["type"] == "warn" else None')" "no line of the output matches .*turn no .* the nearest is: turn 1 is over"
done_testing
