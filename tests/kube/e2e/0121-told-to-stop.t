#!/bin/bash
# A pod is deleted, or its node drained, in the middle of a run: the ranks end in their grace, what they wrote comes back, and the run says why
# it ended.
. "$(dirname "$0")/../lib.sh" || exit 1
ok "an image" kube_tools

cat >wait.yaml <<'J'
name: wait
cluster: {executor: kubernetes, nodes: 2, image: "localhost/tools:1"}
run:
  command: |
    trap 'sleep 1; echo "rank {rank} ends"; seq 1 100000 >last; exit 0' TERM
    echo up
    while :; do sleep 0.1; done
  grace: 20s
outputs: [last]
J
up() { [ "$(cat "$(run_dir)"/ranks/output-*.txt 2>/dev/null | grep -c up)" -eq 2 ]; }
all_back() # NAME
{
	local rank
	for rank in 0 1; do
		like "$1: rank $rank could end" "$(output $rank)" "rank $rank ends"
		is "and what it wrote came back" "$(sha256sum <"$(run_dir)/outputs/node-$rank/last")" "$(seq 1 100000 | sha256sum)"
	done
}

start run wait.yaml
ok "two pods" wait_for 60 up
kubectl delete pod "$(pod_of 1)" --wait=false >/dev/null
start_finished 60
status_is "a pod that is deleted" 3
is "ends the run" "$(outcome)" lost
like "which names its node" "$(why)" "^node 1 "
diag "$(why)"
all_back "a pod that is deleted"
kube_empty "nothing is left of it"

start run wait.yaml
ok "two pods" wait_for 60 up
pod=$(pod_of 0)
kubectl create -f - --raw "/api/v1/namespaces/$NAMESPACE/pods/$pod/eviction" >/dev/null <<E
{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "$pod", "namespace": "$NAMESPACE"}}
E
start_finished 60
status_is "a pod that is evicted, as when its node is drained" 3
like "names its node" "$(why)" "^node 0 "
diag "$(why)"
all_back "a pod that is evicted"
kube_done_testing
