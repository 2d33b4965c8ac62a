#!/bin/bash
# An agent that stops for a while, a line that is closed meanwhile, a controller that stops longer than the lease.
. "$(dirname "$0")/lib.sh" || exit 1

cat >site.yaml <<'J'
lease: 30
heartbeat: 1
J
cat >count.yaml <<J
name: frozen
cluster: {nodes: 2}
run:
  command: |
    for i in \$(seq 200); do echo line \$i; [ \$i != 20 ] || until [ -e $SCRATCH/go ]; do sleep 0.05; done; sleep 0.01; done
    head -c 20000000 /dev/zero | tr '\\0' {rank}
J
lines_come() { has_line "$(run_dir)/ranks/output-1.txt" "line 20"; }
expected() { seq -f 'line %.0f' 200; head -c 20000000 /dev/zero | tr '\0' "$1"; }
away() { event_seen warn; }

start run --site site.yaml count.yaml
ok "lines come" wait_for 20 lines_come
pid=$(agent_pid 1)
kill -STOP "$pid"
touch "$SCRATCH/go"
sleep 0.5 # what is tested: shorter than a heartbeat
kill -CONT "$pid"
start_finished 40
status_is "an agent that stopped for a moment" 0
for rank in 0 1; do ok "rank $rank: byte for byte" cmp <(expected $rank) "$(run_dir)/ranks/output-$rank.txt"; done

rm "$SCRATCH/go"
start run --site site.yaml count.yaml
ok "lines come" wait_for 20 lines_come
pid=$(agent_pid 1)
kill -STOP "$pid"
touch "$SCRATCH/go"
ok "the controller closes the line" wait_for 20 away
kill -CONT "$pid"
start_finished 40
status_is "an agent whose line was closed comes back" 0
ok "it says so" event_seen back
for rank in 0 1; do ok "rank $rank: byte for byte" cmp <(expected $rank) "$(run_dir)/ranks/output-$rank.txt"; done

cat >site.yaml <<'J'
lease: 2
heartbeat: 1
J
cat >long.yaml <<'J'
name: long
cluster: {nodes: 2}
run: {grace: 1s, command: "echo ready; exec sleep 1000"}
J
ready() { has_line "$(run_dir)/ranks/output-0.txt" ready && has_line "$(run_dir)/ranks/output-1.txt" ready; }
start run --site site.yaml long.yaml
ok "another runs" wait_for 20 ready
pid=$(controller_pid)
agents="$(agent_pid 0) $(agent_pid 1)"
kill -STOP "$pid"
for agent in $agents; do ok "an agent ends when its lease is over" wait_for 30 gone "$agent"; done
is "its directory is gone" "$(find "$MUSTER_NODES_DIR" -name 'node-*' | wc -l)" 0
kill -CONT "$pid"
start_finished 30
status_is "the run ends as lost: exit 3" 3
is "outcome" "$(outcome)" lost
nothing_is_left "nothing is left"

# An agent that never comes back is lost when the lease is over.
start run --site site.yaml long.yaml
ok "one more" wait_for 20 ready
pid=$(agent_pid 0)
kill -STOP "$pid"
start_finished 60
status_is "an agent that stays away: exit 3" 3
is "outcome" "$(outcome)" lost
nothing_is_left "nothing is left"
done_testing
