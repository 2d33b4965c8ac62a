#!/bin/bash
# Ctrl-C: the first stops gently, the second at once; cancel does the same from outside. Nothing is left, whatever the state.
. "$(dirname "$0")/lib.sh" || exit 1

cat >long.yaml <<'J'
name: long
cluster: {nodes: 2}
run:
  grace: 60s
  command: |
    trap 'echo told >told.txt; echo told; exit 0' TERM
    echo ready; while :; do sleep 0.05; done
outputs: [told.txt]
J
cat >deaf.yaml <<'J'
name: deaf
cluster: {nodes: 2}
run: {grace: 60s, command: "trap '' TERM INT; echo ready; while :; do sleep 0.05; done"}
J

ready() { has_line "$(run_dir)/ranks/output-0.txt" ready && has_line "$(run_dir)/ranks/output-1.txt" ready; }

start run long.yaml
ok "it runs" wait_for 20 ready
kill -INT "$started"
start_finished 20
status_is "one Ctrl-C: exit 130" 130
is "one Ctrl-C: cancelled" "$(outcome)" cancelled
like "one Ctrl-C: ranks were told gently" "$(output 0)" told
ok "one Ctrl-C: outputs are kept" test -s "$(run_dir)/outputs/node-1/told.txt"
nothing_is_left "one Ctrl-C: nothing is left"

start run deaf.yaml
ok "a deaf job runs" wait_for 20 ready
kill -INT "$started"
ok "it is stopping" wait_for 10 in_state stopping
begin=$SECONDS
kill -INT "$started"
start_finished 20
at_most "two Ctrl-C: seconds after the second" $((SECONDS - begin)) 10
status_is "two Ctrl-C: exit 130" 130
is "two Ctrl-C: cancelled" "$(outcome)" cancelled
nothing_is_left "two Ctrl-C: nothing is left"

start run long.yaml
ok "another one runs" wait_for 20 ready
muster cancel latest
status_is "cancel" 0
start_finished 20
status_is "cancelled from outside: exit 130" 130
is "cancelled from outside" "$(outcome)" cancelled
muster cancel latest
ok "cancelling what has ended is no success" test "$status" -ne 0
like "and says so" "$err" "(ended|over|not running|finished|done)"

# Ctrl-C while it is starting, at any moment.
for delay in 0 0.01 0.02 0.05 0.1 0.2; do
	launch run long.yaml
	wait_for 10 test "/proc/$started/exe" -ef "$MUSTER"
	[ "$delay" = 0 ] || sleep "$delay"
	kill -INT "$started"
	start_finished 20
	status_is "Ctrl-C $delay s after the start: exit 130" 130
	nothing_is_left "Ctrl-C $delay s after the start: nothing is left"
done

# The terminal goes away: the run does not.
start run long.yaml
ok "one more runs" wait_for 20 ready
kill -HUP "$started"
ok "hanging up ends the view" wait_for 10 gone "$started"
wait "$started" 2>/dev/null
ok "but not the run" kill -0 "$(controller_pid)"
muster cancel latest
ok "until it is cancelled" wait_for 10 event_seen end
done_testing
