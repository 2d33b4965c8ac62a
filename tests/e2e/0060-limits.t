#!/bin/bash
# Limits of a node: CPU and memory are what the job file says; too much memory ends the rank, and the report says why.
. "$(dirname "$0")/lib.sh" || exit 1

# The agent takes all the open files it may have; what it starts gets the limit that was there.
job files.yaml <<'J'
cluster: {nodes: 1}
setup: ["ulimit -Sn"]
run: {command: "ulimit -Sn; ulimit -Hn; awk '/open files/ { print $4 }' /proc/$PPID/limits"}
J
hard=$(ulimit -Hn)
(ulimit -Sn 300 && exec "$MUSTER" run files.yaml >"$SCRATCH/out" 2>"$SCRATCH/err")
is "a rank has the limit of open files that was there, the agent all" "$(output 0 | tr '\n' ' ')" "300 $hard $hard "

cat >cpu.yaml <<'J'
name: cpu
cluster: {nodes: 1, cpus: 200m}
run:
  command: |
    python=/usr/bin/python3
    $python -c '
    import time
    wall = time.monotonic(); cpu = time.process_time()
    while time.monotonic() < wall + 3: pass
    print("share %.3f" % ((time.process_time() - cpu) / (time.monotonic() - wall)))'
J
cat >memory.yaml <<'J'
name: memory
cluster: {nodes: 2, memory: 64Mi}
run:
  command: |
    if [ {rank} = 1 ]; then echo before; head -c 500000000 /dev/zero | tail; exit $?; fi
    exec sleep 1000
J
muster run cpu.yaml
if [ "$status" = 3 ] && [[ $err =~ cgroup|control\ group ]]; then
	like "without control groups: says what is missing" "$err" "(cpu|cgroup)"
	skip "limits" "control groups cannot be written here"
	done_testing
fi
status_is "a CPU limit" 0
share=$(output 0 | sed -n 's/^share //p')
at_most "no more CPU than allowed" "$share" 0.26
ok "and about as much ($share)" awk -v s="$share" 'BEGIN { exit !(s > 0.1) }'

muster run memory.yaml
status_is "more memory than allowed" 1
like "why: rank and memory" "$(why)" "rank 1.*(memory|9|KILL|137)"
like "why: it was the memory" "$(why)" "out of memory"
like "what it printed before is kept" "$(output 1)" before

# another rank's process is killed, and that rank goes on: who fails later is not said to have been out of memory
cat >blame.yaml <<'J'
name: blame
cluster: {nodes: 1, memory: 64Mi}
run:
  procs_per_node: 2
  command: |
    if [ {rank} = 1 ]; then head -c 500000000 /dev/zero | tail; echo $? >killed.tmp; mv killed.tmp killed; exec sleep 1000; fi
    while [ ! -e killed ]; do sleep 0.05; done
    cat killed; exit 3
J
muster run blame.yaml
status_is "a rank fails beside one whose process was killed" 1
is "the process was killed" "$(output 0)" 137
is "it is not blamed on the memory" "$(why)" "rank 0 on node 0 exited with status 3"
like "but said that there was a kill" "$(events 'e["why"] if e["type"] == "warn" else None')" "before rank 0 failed, the kernel killed a process of this node"
done_testing
