#!/bin/bash
# A machine whose memory gets short evicts a pod: the run says so. The last machine offers little for this test.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools

settings=$KUBE_DIR/node-3/kube/kubelet.yaml
cp "$settings" kubelet.yaml
restart_kubelet() { cluster kill kubelet 3 && cluster start kubelet 3; }
CLEANUP="${CLEANUP:+$CLEANUP; }cp '$PWD/kubelet.yaml' '$settings'; restart_kubelet; wait_for 30 no_pressure"
no_pressure() { [ "$(kubectl get node "$KUBE_NAME-3" -o 'jsonpath={.spec.taints}')" = "" ]; }
all=$(awk '$1 == "MemTotal:" { printf "%.0f", $2 * 1024 }' /proc/meminfo)
sed -i "s/^systemReserved:.*/systemReserved: {memory: \"$((all - 900 * 1024 * 1024))\"}/" "$settings"
ok "a machine with 900 MiB" restart_kubelet
memory() { kubectl get node "$KUBE_NAME-3" -o 'jsonpath={.status.allocatable.memory}' | numfmt --from=auto; }
offers_little() { [ "$(memory)" -lt 1000000000 ]; }
ok "is known to be that small" wait_for 30 offers_little

cat >job.yaml <<'J'
name: job
cluster: {executor: kubernetes, nodes: 1, image: "localhost/tools:1", kubernetes: {node_selector: {node: "3"}}}
run: {command: 'echo here; head -c 870000000 /dev/zero >/dev/shm/big; echo filled; exec sleep 1000', grace: 1s}
J
launch run job.yaml
start_finished 90
is "a pod that takes nearly all of it: the run is lost" "$status $(outcome)" "3 lost"
like "evicted, in the machine's words" "$(why)" "node 0 was told to stop.*its pod was evicted: .*low on resource: memory"
like "what it printed before is there" "$(output 0)" "^here"
kube_done_testing
