#!/bin/bash
# A sweep over the number of pods, and the comparison.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools
cat >sweep.yaml <<'J'
name: swept
cluster: {executor: kubernetes, image: "localhost/tools:1", cpus: 100m, memory: 64Mi}
run:
  command: |
    i=0; while [ $i -lt 20 ]; do i=$((i + 1)); sleep 0.05; echo "step $i/20"; done
sweep:
  over: {cluster.nodes: [1, 2]}
  stop: {iterations: 8}
J
muster sweep sweep.yaml
status_is "a sweep" 0
sweep=$(echo "$MUSTER_RUNS"/sweeps/swept-*)
is "both points" "$(json_value "$sweep/sweep.json" 'sorted((t["point"], t["outcome"]) for t in e["trials"])')" '[[0, "ok"], [1, "ok"]]'
muster compare
status_is "compared" 0
like "both" "$out" "cluster.nodes=2"
kube_done_testing
