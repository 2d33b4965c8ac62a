#!/bin/bash
# Metrics: read out of the output as it passes, or told on MUSTER_METRICS_FD; samples of node and ranks; all of it in the report.
. "$(dirname "$0")/lib.sh" || exit 1

cat >metrics.yaml <<'J'
name: metrics
cluster: {nodes: 2}
run:
  command: |
    i=0; while [ $i -lt 20 ]; do i=$((i + 1)); echo "step $i/20 loss: 0.$i time 1$i ms"; done
    printf '{"name":"told","value":%s,"step":7}\n' {rank}.5 >&$MUSTER_METRICS_FD
    echo 'not json' >&$MUSTER_METRICS_FD
    end=$(($(date +%s) + 5)); while [ $(date +%s) -lt $end ]; do :; done
metrics:
  - {name: loss, pattern: 'loss: (?<value>[0-9.]+)'}
  - {name: time, pattern: '^step (?<step>\d+)/\d+ .* time (?<value>[0-9]+) ms', unit: ms}
J
muster run metrics.yaml
status_is "metrics" 0
metrics=$(run_dir)/metrics.jsonl
for rank in 0 1; do
	is "rank $rank: every loss, in order" \
		"$(json_lines "$metrics" "e['value'] if e['type'] == 'metric' and e['name'] == 'loss' and e['rank'] == $rank else None" | tr '\n' ' ')" \
		"$(for i in $(seq 20); do /usr/bin/python3 -c "import json; print(json.dumps(float('0.$i')))"; done | tr '\n' ' ')"
	is "rank $rank: told by the program" "$(json_lines "$metrics" "(e['value'], e['step']) if e['type'] == 'metric' and e['name'] == 'told' and e['rank'] == $rank else None")" "[$rank.5, 7]"
done
like "the unit is kept" "$(json_lines "$metrics" 'e["unit"] if e["type"] == "metric" and e["name"] == "time" else None' | sort -u)" '^ms$'
is "the step of a pattern" "$(json_lines "$metrics" 'e.get("step") if e["type"] == "metric" and e["name"] == "time" and e["rank"] == 0 else None' | tail -n 1)" 20
samples=$(json_lines "$metrics" '1 if e["type"] == "sample" and e["node"] == 1 else None' | wc -l)
ok "node 1 was sampled each second ($samples)" test "$samples" -ge 2
busy=$(json_lines "$metrics" 'max([r["cpu"] for r in e["ranks"]] or [0]) if e["type"] == "sample" else None' | sort -g | tail -n 1)
ok "a busy rank shows as busy ($busy cores)" awk -v b="$busy" 'BEGIN { exit !(b > 0.2 && b < 2) }'
ok "memory of a rank is sampled" test -n "$(json_lines "$metrics" '[r["memory"] for r in e["ranks"] if r["memory"] > 0] or None if e["type"] == "sample" else None' | head -n 1)"
like "progress is read" "$(json_lines "$metrics" '(e["done"], e["total"]) if e["type"] == "progress" else None' | tail -n 1)" '\[20(\.0)?, 20(\.0)?\]'
like "the report has the losses" "$(cat "$(run_dir)/report.json")" '"loss"'
like "the page has them" "$(cat "$(run_dir)/report.html")" 'loss'
done_testing
