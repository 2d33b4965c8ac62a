#!/bin/bash
# A rank that fails, in every way it can: the others are told at once, outputs and last lines are kept, the report says who, when, why.
. "$(dirname "$0")/lib.sh" || exit 1

fails() # NAME COMMAND_OF_RANK_1 REGEX_OF_WHY [ARGS...]
{
	local name=$1 command=$2 regex=$3 dir begin
	shift 3
	cat >fail.yaml <<J
name: fail
cluster: {nodes: 3}
run:
  grace: 2s
  command: |
    if [ {rank} = 1 ]; then
      while [ ! -e $SCRATCH/waiting-0 ] || [ ! -e $SCRATCH/waiting-2 ]; do sleep 0.02; done
      echo last words; $command
    fi
    trap 'echo was told; echo bye >told-{rank}.txt; exit 0' TERM
    touch $SCRATCH/waiting-{rank}; while :; do sleep 0.05; done
outputs: ["told-*.txt"]
J
	rm -f "$SCRATCH"/waiting-*
	begin=$SECONDS
	muster run "$@" fail.yaml
	at_most "$name: seconds until the end" $((SECONDS - begin)) 15
	status_is "$name: exit 1" 1
	dir=$(run_dir)
	is "$name: the outcome" "$(outcome)" failed
	like "$name: why" "$(why)" "rank 1.*$regex|$regex.*rank 1"
	like "$name: the terminal says it too" "$err$out" "$regex"
	for rank in 0 2; do
		like "$name: rank $rank was told" "$(output $rank)" "was told"
		ok "$name: what rank $rank wrote then came back" test -s "$dir/outputs/node-$rank/told-$rank.txt"
	done
	like "$name: its output is kept" "$(output 1)" "last words"
	like "$name: its last lines are in the event" "$(events 'e["last"] if e["type"] == "exit" and e["rank"] == 1 else None')" "last words"
	muster report latest
	status_is "$name: report" 0
	like "$name: the report says who and why" "$out" "rank 1.*$regex|$regex"
	like "$name: the page says why" "$(cat "$dir/report.html")" "$regex"
}

fails "exit 3" "exit 3" "3"
is "its status is in the event" "$(events 'e["status"] if e["type"] == "exit" and e["rank"] == 1 else None')" 3
fails "killed" 'kill -9 $$' "(signal 9|SIGKILL|[Kk]illed)"
is "its signal is in the event" "$(events 'e["signal"] if e["type"] == "exit" and e["rank"] == 1 else None')" 9
fails "segmentation fault" 'ulimit -c 0; kill -SEGV $$' "(signal 11|SIGSEGV|[Ss]egmentation)"

cat >unknown.yaml <<'J'
cluster: {nodes: 2}
run: {command: [no-such-program, --flag]}
J
muster run unknown.yaml
status_is "command not found: exit 1" 1
like "command not found: named" "$(why)" "no-such-program.*[Nn]o such file|no-such-program.*not found"
muster run unknown.yaml --set 'run.command=no-such-program --flag'
status_is "command not found by the shell: exit 1" 1
like "command not found by the shell: status" "$(why)" "127"
like "command not found by the shell: its words are kept" "$(output 0; output 1)" "no-such-program.*not found"
: >plain.txt
muster run unknown.yaml --set "run.command=[$SCRATCH/work/plain.txt]"
status_is "a file that is no program: exit 1" 1
like "a file that is no program: named" "$(why)" "plain\.txt.*([Pp]ermission|exec)"

cat >hang.yaml <<'J'
cluster: {nodes: 2}
run:
  timeout: 1s
  grace: 1s
  command: 'echo started; trap "" TERM; while :; do sleep 0.05; done'
J
begin=$SECONDS
muster run hang.yaml
at_most "hanging past timeout, deaf to TERM: seconds" $((SECONDS - begin)) 10
status_is "hanging past timeout: exit 1" 1
like "hanging past timeout: why" "$(why)" "(timeout|time|1 s|longer)"
like "hanging past timeout: output is kept" "$(output 0)" "started"
is "hanging past timeout: every exit says so" "$(events 'e["signal"] if e["type"] == "exit" else None' | sort -u)" 9
done_testing
