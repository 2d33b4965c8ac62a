#!/bin/bash
# kill -9 of the controller, of an agent, of a rank, in each state: the run says what happened if anybody is left to say it, and after
# `muster reap` there is no process, no control group and no file outside of runs/.
. "$(dirname "$0")/lib.sh" || exit 1

# In the job, ranks write their pids down and wait for a file; nobody removes it but the test.
cat >job.yaml <<J
name: victim
cluster: {nodes: 2}
run: {grace: 1s, command: "echo ready; sleep 1000 & while :; do sleep 0.05; done"}
outputs: ["*.txt"]
J
cat >setup.yaml <<J
name: setting-up
cluster: {nodes: 2}
setup: ["touch $SCRATCH/in-setup; sleep 1000"]
run: {command: "true"}
J
cat >stop.yaml <<J
name: stopping
cluster: {nodes: 2}
run: {grace: 60s, command: "trap '' TERM; touch $SCRATCH/deaf-{rank}; while [ {rank} = 0 ] || [ ! -e $SCRATCH/deaf-0 ]; do sleep 0.05; done; exit 3"}
J

# An agent that waits before it is one, so that a run stays in `starting`.
real=$(dirname "$MUSTER")/muster-agent
cat >slow-agent <<J
#!/bin/sh
touch $SCRATCH/in-start
while [ ! -e $SCRATCH/go ]; do sleep 0.05; done
exec $real "\$@"
J
chmod +x slow-agent

echo "deadline: 5" >site.yaml

ready() { has_line "$(run_dir)/ranks/output-0.txt" ready && has_line "$(run_dir)/ranks/output-1.txt" ready; }

bring() # STATE: starts a run and waits until it is there
{
	rm -rf "$MUSTER_RUNS" "$SCRATCH/in-start" "$SCRATCH/in-setup" "$SCRATCH/go" "$SCRATCH"/deaf-*
	case $1 in
	starting)
		MUSTER_AGENT=$PWD/slow-agent start run --site site.yaml job.yaml
		wait_for 20 test -e "$SCRATCH/in-start" && wait_for 10 test -s "$(run_dir)/control.json"
		;;
	setup)
		start run setup.yaml
		wait_for 20 test -e "$SCRATCH/in-setup"
		;;
	running)
		start run job.yaml
		wait_for 20 ready
		;;
	stopping)
		start run stop.yaml
		wait_for 20 in_state stopping
		;;
	esac
}

# --- the controller: nobody is left to say anything; the run is lost, and says so when it is asked ---
for state in starting setup running stopping; do
	ok "controller in $state: there" bring $state
	victim=$(controller_pid)
	ok "controller in $state: killed" kill -9 "$victim"
	touch "$SCRATCH/go"
	start_finished 20
	status_is "controller in $state: muster run ends with 3" 3
	like "controller in $state: and says that the controller is gone" "$err$out" "controller"
	muster status latest
	like "controller in $state: status says lost" "$out" "lost"
	muster reap
	status_is "controller in $state: reap" 0
	nothing_is_left "controller in $state: nothing is left after reap"
	muster reap
	status_is "controller in $state: reap again finds nothing" 0
done

# --- an agent: the controller notices, the run fails, and cleans up by itself ---
ok "agent in starting: there" bring starting
pkill_slow() { local p; for p in $(grep -lF "slow-agent" /proc/[0-9]*/cmdline 2>/dev/null | tr -dc '0-9\n'); do grep -qzF "MUSTER_E2E=$SCRATCH" "/proc/$p/environ" 2>/dev/null && kill -9 "$p"; done; }
pkill_slow
start_finished 30
ok "agent in starting: muster run fails" test "$status" -eq 3 -o "$status" -eq 1
nothing_is_left "agent in starting: nothing is left"
for state in setup running stopping; do
	ok "agent in $state: there" bring $state
	ok "agent in $state: killed" kill -9 "$(agent_pid 0)"
	start_finished 30
	ok "agent in $state: muster run fails ($status)" test "$status" -eq 1 -o "$status" -eq 3
	case $state in
	stopping) like "agent in $state: why is still the first failure" "$(why)" "rank 1" ;;
	*) like "agent in $state: why names the node" "$(why)" "node[ -]0" ;;
	esac
	nothing_is_left "agent in $state: nothing is left"
done

# --- a rank ---
ok "rank in running: there" bring running
ok "rank in running: killed" kill -9 "$(rank_pid 1)"
start_finished 30
status_is "rank in running: exit 1" 1
like "rank in running: why" "$(why)" "rank 1.*(9|KILL|killed)"
nothing_is_left "rank in running: nothing is left"
ok "rank in stopping: there" bring stopping
ok "rank in stopping: killed" kill -9 "$(rank_pid 0)"
begin=$SECONDS
start_finished 30
at_most "rank in stopping: ends the wait, seconds" $((SECONDS - begin)) 10
status_is "rank in stopping: exit 1" 1
like "rank in stopping: why is the first failure" "$(why)" "rank 1"
nothing_is_left "rank in stopping: nothing is left"

# --- a detached run whose controller was killed says so ---
muster run --detach job.yaml
status_is "detached" 0
wait_for 20 ready
kill -9 "$(controller_pid)"
muster attach latest
status_is "attach to a run without controller: exit 3" 3
like "attach says that its controller is gone" "$err$out" "controller"
muster list
like "list says lost" "$out" "lost"
muster exec latest --node 0 -- true
ok "exec into it is refused" test "$status" -ne 0
muster reap
nothing_is_left "after reap nothing is left of the detached run"
done_testing
