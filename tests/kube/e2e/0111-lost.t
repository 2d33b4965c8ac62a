#!/bin/bash
# What becomes of a run whose pod goes: deleted, evicted by an administrator, out of memory. It is said why, and nothing is left.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools
cat >wait.yaml <<'J'
name: wait
cluster: {executor: kubernetes, nodes: 3, image: "localhost/tools:1"}
run: {command: "echo up; exec sleep 1000", grace: 2s}
J
running() { [ "$(cat "$(run_dir)"/ranks/output-*.txt 2>/dev/null | grep -c up)" -eq 3 ]; }
begin() # NAME [ARGS...]
{
	local name=$1
	shift
	start run wait.yaml "$@"
	wait_for 60 running || fail "$name: it runs" "$(cat "$SCRATCH/bg.err")"
}

begin "a pod that is deleted"
kubectl delete pod "$(pod_of 1)" --wait=false >/dev/null
start_finished 60
is "a pod that is deleted" "$status $(outcome)" "3 lost"
like "is named, with the reason" "$(why)" "node 1 was told to stop.*somebody deletes its pod"
kube_empty "nothing is left"

begin "a pod that is evicted"
printf '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "%s"}}' "$(pod_of 2)" >eviction.json
kubectl create --raw "/api/v1/namespaces/$NAMESPACE/pods/$(pod_of 2)/eviction" -f eviction.json >/dev/null
start_finished 60
is "a pod that is evicted" "$status $(outcome)" "3 lost"
like "says so" "$(why)" "node 2 was told to stop.*its pod was evicted"
kube_empty "nothing is left"

begin "a Job that is deleted"
kubectl delete job --all --wait=false >/dev/null
start_finished 60
is "Jobs that are deleted" "$status $(outcome)" "3 lost"
kube_empty "nothing is left"

cat >memory.yaml <<'J'
name: memory
cluster: {executor: kubernetes, nodes: 2, image: "localhost/tools:1", memory: 64Mi}
run:
  command: |
    if [ {rank} = 1 ]; then echo before; head -c 500000000 /dev/zero | tail; exit $?; fi
    exec sleep 1000
J
muster run memory.yaml
like "more memory than a pod has" "$status" '^[13]$'
like "is said" "$(why)" "memory"
like "what came before is there" "$(output 1)" before
kube_empty "nothing is left"

begin "cancelled"
"$MUSTER" cancel "$(basename "$(run_dir)")" >/dev/null
start_finished 60
status_is "cancelled while it runs" 130
kube_empty "nothing is left"

start run wait.yaml
some_there() { [ -n "$(kubectl get pods -o name)" ]; }
ok "the first pod is made" wait_for 20 some_there
"$MUSTER" cancel "$(basename "$(run_dir)")" >/dev/null
start_finished 60
status_is "cancelled while it comes up" 130
kube_done_testing
