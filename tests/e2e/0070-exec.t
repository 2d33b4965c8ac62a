#!/bin/bash
# muster exec: input of any size arrives whole, however slowly it is read; a terminal; ends when nobody listens; a retry of the ranks.
. "$(dirname "$0")/lib.sh" || exit 1

cat >job.yaml <<'J'
name: live
cluster: {nodes: 2}
run: {grace: 1s, command: "echo ready; trap 'exit 0' TERM; while [ ! -e {data}/go ]; do sleep 0.05; done"}
J
ready() { has_line "$(run_dir)/ranks/output-0.txt" ready && has_line "$(run_dir)/ranks/output-1.txt" ready; }
seq 1 1000000 >numbers
sum=$(sha256sum <numbers)

muster run --detach job.yaml
status_is "a run to look into" 0
ok "it runs" wait_for 20 ready

is "a file as input" "$("$MUSTER" exec latest -- sha256sum <numbers)" "$sum"
# shellcheck disable=SC2002 # the test needs a pipe, not the file
is "a pipe as input" "$(cat numbers | "$MUSTER" exec latest --node 1 -- sha256sum)" "$sum"
# shellcheck disable=SC2002 # as above
is "read late" "$(cat numbers | "$MUSTER" exec latest -- sh -c 'sleep 0.5; sha256sum')" "$sum"
is "a file that is not read" "$("$MUSTER" exec latest -- sh -c 'exec <&-; sleep 0.2; echo done' <numbers)" "done"
is "output that is large" "$("$MUSTER" exec latest -- cat <numbers | sha256sum)" "$sum"
is "output that is read late" "$("$MUSTER" exec latest -- seq 1 1000000 | { sleep 0.5; sha256sum; })" "$sum"
wait_end() { wait_for 10 gone "$1"; }
"$MUSTER" exec latest -- yes | head -n 1 >first &
piped=$!
ok "it ends when nobody listens" wait_end "$piped"
is "the first line had come" "$(cat first)" y
muster exec latest -- sh -c 'kill -9 $$'
status_is "a signal" 137
muster exec latest -- /no/such/program
status_is "no such program" 3
like "it is named" "$err" "/no/such/program"

if type script >/dev/null 2>&1; then
	out=$(script -qec "'$MUSTER' exec latest -- sh -c 'test -t 0 && test -t 1 && tty && stty size'" /dev/null </dev/null 2>&1)
	like "a terminal" "$out" "/dev/pts/"
else
	skip "a terminal" "there is no program script"
fi
for node in 0 1; do touch "$MUSTER_NODES_DIR/$(basename "$(run_dir)")/node-$node/data/go"; done
ok "the run ends" wait_for 20 event_seen end
is "well" "$(outcome)" ok

# A retry cleans the node up: the command ends, the agent does not go mad over it.
cat >again.yaml <<'J'
name: again
cluster: {nodes: 1}
run:
  retries: 1
  command: |
    echo x >>{data}/tries
    if [ $(wc -l <{data}/tries) = 1 ]; then echo ready; while [ ! -e {data}/go ]; do sleep 0.05; done; exit 1; fi
    echo second; while [ ! -e {data}/end ]; do sleep 0.05; done
J
first() { has_line "$(run_dir)/ranks/output-0.txt" ready; }
second() { has_line "$(run_dir)/ranks/output-0.txt" second; }
muster run --detach again.yaml
ok "the first attempt runs" wait_for 20 first
"$MUSTER" exec latest -- sleep 1000 &
shell=$!
node="$MUSTER_NODES_DIR/$(basename "$(run_dir)")/node-0"
sleeps() { pgrep -P "$(agent_pid 0)" -x sleep; }
ok "a command runs beside it" wait_for 10 sleeps
touch "$node/data/go"
ok "the second attempt runs" wait_for 20 second
ok "the command has ended" wait_end "$shell"
cpu() { awk '{print $14 + $15}' "/proc/$(agent_pid 0)/stat"; }
before=$(cpu)
sleep 1 # what is tested: the CPU of a second in which nothing happens
at_most "the agent is idle: clock ticks in a second" $(($(cpu) - before)) 30
touch "$node/data/end"
ok "it ends" wait_for 20 event_seen end
is "well, after a retry" "$(outcome)" ok
done_testing
