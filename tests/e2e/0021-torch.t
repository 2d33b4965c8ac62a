#!/bin/bash
# launch: torch gives what torchrun gives; PyTorch itself finds its group by it.
. "$(dirname "$0")/lib.sh" || exit 1

cat >env.yaml <<'J'
cluster: {nodes: 2}
run:
  launch: torch
  procs_per_node: 2
  command: echo "$MASTER_ADDR $MASTER_PORT $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE $NODE_RANK $NNODES"
J
muster run env.yaml
status_is "the environment of torchrun" 0
master=$(output 0 | cut -d ' ' -f 1,2)
like "the master is node 0's address and a port" "$master" '^127\.[0-9.]+ [0-9]+$'
for rank in 0 1 2 3; do
	is "rank $rank" "$(output $rank)" "$master $rank $((rank % 2)) 4 2 $((rank / 2)) 2"
done

cat >sum.py <<'P'
import torch
import torch.distributed as dist
dist.init_process_group("gloo", init_method="env://")
x = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(x)
print("sum", x.item(), "of", dist.get_world_size(), flush=True)
dist.barrier()
P
cat >sum.yaml <<'J'
cluster: {nodes: 2}
inputs: [sum.py]
run: {launch: torch, command: "/usr/bin/python3 {data}/sum.py", timeout: 100s}
J
if /usr/bin/python3 -c 'import torch' 2>/dev/null; then
	muster run sum.yaml
	status_is "PyTorch over gloo" 0
	like "rank 0 has the sum" "$(output 0)" "sum 3.0 of 2"
	like "rank 1 has the sum" "$(output 1)" "sum 3.0 of 2"
else
	skip "PyTorch over gloo" "no python3-torch"
fi
done_testing
