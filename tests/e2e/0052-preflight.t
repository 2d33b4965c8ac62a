#!/bin/bash
# Preflight: every pair is checked before the job; --preflight-only prints the matrix; a pair that cannot talk is named.
. "$(dirname "$0")/lib.sh" || exit 1

cat >job.yaml <<'J'
name: pairs
cluster: {nodes: 3}
run: {command: echo started}
J
muster run --preflight-only job.yaml
status_is "preflight only" 0
like "latency" "$out" "(us|ms|µs)"
like "bandwidth" "$out" "[KMG]i?B/s"
is "no rank was started" "$(events '1 if e["type"] == "start" else None' | wc -l)" 0
is "rows of every node" "$(events 'sorted(r["to"] for r in e["rows"]) if e["type"] == "preflight" else None' | sort -u | tr -d ' ' | tr '\n' ' ')" "[0,1] [0,2] [1,2] "
is "all of them fine" "$(events 'all(r["ok"] for r in e["rows"]) if e["type"] == "preflight" else None' | sort -u)" true

muster run job.yaml
status_is "a run checks too" 0
is "and says so" "$(events '1 if e["type"] == "preflight" else None' | wc -l)" 3
done_testing
