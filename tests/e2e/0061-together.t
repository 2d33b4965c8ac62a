#!/bin/bash
# Runs at the same time on the same machine do not meet: addresses, directories, ports, processes.
. "$(dirname "$0")/lib.sh" || exit 1

cat >job.yaml <<'J'
name: together
cluster: {nodes: 2}
run:
  launch: torch
  command: |
    echo "me={addr} master=$MASTER_ADDR:$MASTER_PORT out={out}"
    touch {out}/mine; while [ ! -e {data}/go ]; do sleep 0.05; done; ls {out}
J
pids=
for i in 1 2 3 4; do
	"$MUSTER" run job.yaml --set name=together-$i >"$SCRATCH/out-$i" 2>&1 &
	pids="$pids $!"
done
all_there() { [ "$(cat "$MUSTER_RUNS"/*/ranks/output-*.txt 2>/dev/null | grep -c master=)" -eq 8 ]; }
ok "four runs of two nodes are up at once" wait_for 30 all_there
is "four masters, all different" "$(cat "$MUSTER_RUNS"/*/ranks/output-*.txt | sed -n 's/.*\(master=[^ ]*\).*/\1/p' | sort -u | wc -l)" 4
is "eight directories, all different" "$(cat "$MUSTER_RUNS"/*/ranks/output-*.txt | sed -n 's/.*\(out=[^ ]*\).*/\1/p' | sort -u | wc -l)" 8
is "eight addresses, all different" "$(cat "$MUSTER_RUNS"/*/events.jsonl | json_lines /dev/stdin 'e["address"] if e["type"] == "hello" else None' | sort -u | wc -l)" 8
first=$(ls -d "$MUSTER_RUNS"/together-1-*)
muster cancel "$(basename "$first")"
ok "one is cancelled" wait_for 20 event_seen end "$first"
is "the others go on" "$(for d in "$MUSTER_RUNS"/together-[234]-*; do [ -e "$d/control.json" ] && echo yes; done | wc -l)" 3
muster reap
status_is "reap" 0
is "reap leaves the living alone" "$(for d in "$MUSTER_RUNS"/together-[234]-*; do kill -0 "$(controller_pid "$d")" && echo yes; done | wc -l)" 3
for node in "$MUSTER_NODES_DIR"/*/node-*; do touch "$node/data/go"; done
good=0
for pid in $pids; do
	wait "$pid" && good=$((good + 1))
done
is "three end well" "$good" 3
for d in "$MUSTER_RUNS"/together-[234]-*; do
	is "$(basename "$d"): ok" "$(outcome "$d")" ok
done
done_testing
