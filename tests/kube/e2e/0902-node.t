#!/bin/bash
# A machine that is gone with its pods: the run is lost and says with which; what the API server keeps of it is named, and forgotten by force.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools

cat >wait.yaml <<'J'
name: wait
cluster: {executor: kubernetes, nodes: 3, image: "localhost/tools:1", lease: 10s}
run: {command: "echo up; exec sleep 1000", grace: 1s}
J
running() { [ "$(cat "$(run_dir)"/ranks/output-*.txt 2>/dev/null | grep -c up)" -eq 3 ]; }
machine_of() { kubectl get pod "$(pod_of "$1")" -o 'jsonpath={.spec.nodeName}'; }
# Without the machine of the API server's own doing nothing is spread: one pod on each.
start run wait.yaml --set 'cluster.kubernetes.pod={spec: {topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app.kubernetes.io/managed-by: muster}}}]}}'
ok "three pods" wait_for 60 running
machine=$(machine_of 1) pod=$(pod_of 1)
number=${machine##*-}
CLEANUP="${CLEANUP:+$CLEANUP; }cluster start node $number"
cluster kill node "$number"
start_finished 120
is "a machine that is gone: the run is lost" "$status $(outcome)" "3 lost"
like "why" "$(why)" "node 1 is lost"
like "the receipt names pod and machine" "$(events 'str(e["left"]) if e["type"] == "receipt" else None')" "$pod.*$machine|$machine.*$pod"
like "on the terminal too" "$err" "$pod"
is "it is still there" "$(kubectl get pod "$pod" -o name)" "pod/$pod"
muster reap --force
status_is "by force it is forgotten" 0
kube_empty "nothing is left"
CLEANUP=${CLEANUP%; cluster start node "$number"}
ok "the machine is back" cluster start node "$number"
kube_done_testing
