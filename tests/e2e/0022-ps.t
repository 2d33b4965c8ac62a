#!/bin/bash
# launch: ps: roles, the environment of parameter servers, and the end when the workers end.
. "$(dirname "$0")/lib.sh" || exit 1

cat >ps.yaml <<J
name: ps
cluster: {roles: {ps: 2, worker: 2}}
run:
  launch: ps
  command: |
    echo "\$JOB_NAME \$TASK_INDEX pod=\$POD_NAME rank=\$MUSTER_RANK role={role} index={index}"
    echo "ps=\$PS_HOSTS worker=\$WORKER_HOSTS"
    echo "\$TF_CONFIG"
    if [ "\$JOB_NAME" = ps ]; then trap 'echo told; exit 0' TERM; touch $SCRATCH/up-{rank}; while :; do sleep 0.1; done; fi
    while [ ! -e $SCRATCH/up-0 ] || [ ! -e $SCRATCH/up-1 ]; do sleep 0.05; done
J
muster run ps.yaml
status_is "the run ends when the workers end" 0
is "the outcome is ok" "$(outcome)" ok
hosts=$(output 0 | grep ^ps=)
like "hosts of both roles, each with its port" "$hosts" '^ps=127\.[0-9.]+:[0-9]+,127\.[0-9.]+:[0-9]+ worker=127\.[0-9.]+:[0-9]+,127\.[0-9.]+:[0-9]+$'
index=0
for role in ps ps worker worker; do
	text=$(output $index)
	like "rank $index" "$text" "^$role $((index % 2)) pod=[^ ]+ rank=$index role=$role index=$((index % 2))"
	like "rank $index: the same hosts" "$text" "${hosts//./\\.}"
	config=$(grep '^{' <<<"$text" >"$SCRATCH/tf.json"; json_value "$SCRATCH/tf.json" '"%s %d %s" % (e["task"]["type"], e["task"]["index"], ",".join(e["cluster"]["ps"]))')
	is "rank $index: TF_CONFIG" "$config" "$role $((index % 2)) $(sed 's/^ps=//;s/ .*//' <<<"$hosts")"
	index=$((index + 1))
done
like "a server is told to stop" "$(output 0)" "told"
is "the servers' exits say so" "$(events 'e["why"] if e["type"] == "exit" and e["rank"] < 2 else None')" $'told to stop\ntold to stop'

muster run ps.yaml --set 'run.command=if [ $JOB_NAME = ps ]; then sleep 1000; fi; exit 4'
status_is "a failing worker fails the run" 1
done_testing
