#!/bin/bash
# The launch modes that need no library: none, torch and ps, each with what it promises, between pods that reach each other.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools

cat >torch.yaml <<'J'
name: torch
cluster: {executor: kubernetes, nodes: 2, image: "localhost/tools:1"}
run:
  launch: torch
  procs_per_node: 2
  command: |
    echo "$MASTER_ADDR $MASTER_PORT $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE $NODE_RANK $NNODES"
    if [ $RANK = 0 ]; then echo met | nc -l -p $MASTER_PORT >/dev/null; fi
    if [ $RANK = 3 ]; then until nc $MASTER_ADDR $MASTER_PORT </dev/null | grep met; do sleep 0.1; done; fi
J
muster run torch.yaml
status_is "torch" 0
master=$(output 0 | cut -d ' ' -f 1,2)
like "the master is node 0's address in the cluster and a port" "$master" '^10\.[0-9.]+ [0-9]+$'
for rank in 0 1 2 3; do
	is "torch: rank $rank" "$(output $rank | head -n 1)" "$master $rank $((rank % 2)) 4 2 $((rank / 2)) 2"
done
is "the last rank has reached the master" "$(output 3 | tail -n 1)" met

cat >ps.yaml <<'J'
name: ps
cluster: {executor: kubernetes, roles: {ps: 2, worker: 2}, image: "localhost/tools:1"}
run:
  launch: ps
  command: |
    echo "$JOB_NAME $TASK_INDEX rank=$MUSTER_RANK role={role} index={index}"
    echo "ps=$PS_HOSTS worker=$WORKER_HOSTS"
    echo "$TF_CONFIG"
    if [ "$JOB_NAME" = ps ]; then trap 'echo told; exit 0' TERM; while :; do sleep 0.1; done; fi
J
muster run ps.yaml
status_is "ps: the run ends when the workers end" 0
is "the outcome is ok" "$(outcome)" ok
hosts=$(output 2 | grep ^ps=)
like "hosts of both roles, each with its port" "$hosts" '^ps=10\.[0-9.]+:[0-9]+,10\.[0-9.]+:[0-9]+ worker=10\.[0-9.]+:[0-9]+,10\.[0-9.]+:[0-9]+$'
index=0
for role in ps ps worker worker; do
	text=$(output $index)
	like "ps: rank $index" "$text" "^$role $((index % 2)) rank=$index role=$role index=$((index % 2))"
	like "ps: rank $index: the same hosts" "$text" "${hosts//./\\.}"
	index=$((index + 1))
done
like "a server is told to stop" "$(output 0)" "told"
muster run ps.yaml --set 'run.command=if [ $JOB_NAME = ps ]; then exec sleep 1000; fi; exit 4'
status_is "a failing worker fails the run" 1
like "which is named" "$(why)" "rank [23].*status 4"

muster run torch.yaml --set run.launch=none --set 'run.command=echo {rank} {size} {node} {nodes} {local_rank} {addr[1]}'
status_is "none" 0
like "none: rank 3" "$(output 3)" '^3 4 1 2 1 10\.[0-9.]+$'
kube_done_testing
