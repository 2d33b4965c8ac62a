#!/bin/bash
# Attempts: what came before the ranks is not skipped by a retry; news of an attempt that is over does not count; all failing; a timeout.
. "$(dirname "$0")/lib.sh" || exit 1

cat >setup.yaml <<'J'
name: setup
cluster: {nodes: 2}
setup: ["if [ {node} = 1 ]; then exit 4; fi"]
run: {retries: 3, command: "echo ran"}
J
muster run setup.yaml
status_is "setup that fails is not retried: exit 1" 1
is "no retry" "$(events '1 if e["type"] == "retry" else None' | wc -l)" 0
is "no rank ran" "$(cat "$(run_dir)"/ranks/output-*.txt 2>/dev/null)" ""
like "why" "$(why)" "setup step 1.*node 1.*status 4"

cat >input.yaml <<'J'
name: input
cluster: {nodes: 2}
inputs: [{name: x, from: ./there, sha256: "0000000000000000000000000000000000000000000000000000000000000000"}]
run: {retries: 3, command: "echo ran"}
J
echo x >there
muster run input.yaml
status_is "an input that is wrong is not retried: exit 1" 1
is "no rank ran without its input" "$(cat "$(run_dir)"/ranks/output-*.txt 2>/dev/null)" ""

cat >fail.yaml <<'J'
name: failing
cluster: {nodes: 4}
run: {retries: 2, grace: 1s, command: "echo try; exit {rank}"}
J
for _ in 1 2 3; do
	muster run fail.yaml
	status_is "three attempts fail: exit 1" 1
	is "two retries, no more" "$(events 'str(e["attempt"]) if e["type"] == "retry" else None' | tr '\n' ' ')" "2 3 "
	is "every rank began three times" "$(events 'str(e["attempt"]) if e["type"] == "start" else None' | sort | uniq -c | tr -s ' \n' ' ')" " 4 1 4 2 4 3 "
	is "phases begin and end" "$(events 'e["name"] + e["edge"] if e["type"] == "phase" and "node" not in e else None' | sort | uniq -c | awk '{print $2 $1}' | tr '\n' ' ')" \
		"bring-upbegin1 bring-upend1 collectbegin1 collectend1 preflightbegin3 preflightend3 runbegin3 runend3 teardownbegin1 teardownend1 "
done

cat >missing.yaml <<'J'
name: missing
cluster: {nodes: 2}
run:
  retries: 1
  command: "echo x >>{data}/tries; if [ {rank} = 1 ] && [ $(wc -l <{data}/tries) = 1 ]; then kill -9 $$; fi; echo fine"
J
muster run missing.yaml
status_is "the first attempt fails on one rank, the second does not: exit 0" 0

cat >late.yaml <<'J'
name: late
cluster: {nodes: 2}
run: {retries: 1, timeout: 1s, grace: 1s, command: "echo begun; exec sleep 1000"}
J
muster run late.yaml
status_is "a timeout in each attempt: exit 1" 1
is "one retry" "$(events '1 if e["type"] == "retry" else None' | wc -l)" 1
is "all four say why they ended" "$(events 'str(e["why"]) if e["type"] == "exit" else None' | sort | uniq -c | tr -s ' ')" " 4 timeout"

cat >worker.yaml <<'J'
name: worker
cluster: {roles: {ps: 1, worker: 2}}
run: {launch: ps, grace: 1s, command: 'if [ "$JOB_NAME" = ps ]; then exec sleep 1000; fi; [ "$TASK_INDEX" = 0 ] || exit 9; sleep 1000'}
J
muster run worker.yaml
status_is "a worker fails: exit 1" 1
like "why" "$(why)" "rank 2 on node 2 exited with status 9"
nothing_is_left "nothing is left"
done_testing
