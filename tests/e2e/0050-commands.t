#!/bin/bash
# The commands that look: plan, list, status, logs, report; --json; and every command explains itself.
. "$(dirname "$0")/lib.sh" || exit 1

cat >job.yaml <<'J'
name: looks
cluster: {nodes: 2}
run: {command: "echo first of {rank}; echo second of {rank}"}
J

muster version
status_is "version" 0
like "version: a number" "$out" '[0-9]+\.[0-9]+\.[0-9]+'
muster --help
status_is "help" 0
for command in run plan status logs report list predict sweep compare choose prices export rerun cancel exec reap doctor agent version attach; do
	like "help lists $command" "$out" "(^|[[:space:]])${command}[[:space:]]"
done
for command in run plan status logs report list predict sweep compare choose prices export rerun cancel exec reap doctor attach; do
	muster $command --help
	status_is "$command --help" 0
	like "$command --help: usage" "$out" "[Uu]sage: muster $command"
	muster $command --no-such-option
	status_is "$command --no-such-option: exit 2" 2
done

muster list
status_is "list of nothing" 0
muster status
ok "status of nothing is an error" test "$status" -ne 0
like "and says so" "$err" "no run"

muster plan job.yaml
status_is "plan" 0
printf '%s' "$out" >plan.json
is "plan: two ranks" "$(json_value plan.json 'len(e["ranks"])')" 2
is "plan makes no run" "$(run_count)" 0
muster plan job.yaml
is "plan is the same each time" "$out" "$(cat plan.json)"

muster run --json job.yaml
status_is "run --json" 0
printf '%s\n' "$out" >events.json
is "run --json: only events, from the first" "$(head -n 1 events.json | json_lines /dev/stdin 'e["type"]')" run
is "run --json: to the last" "$(tail -n 1 events.json | json_lines /dev/stdin 'e["type"]')" end
ok "run --json: the lines of events.jsonl" cmp <(grep -v '"type": *"\(metric\|sample\|progress\)"' events.json) "$(run_dir)/events.jsonl"

muster run job.yaml
status_is "run" 0
unlike "not on a terminal: no escapes" "$out$err" $'\x1b'
like "the ranks' output is shown" "$out" "first of 0"
id=$(basename "$(run_dir)")

muster list
status_is "list" 0
is "list: both runs" "$(grep -c looks- <<<"$out")" 2
like "list: outcome" "$out" "ok"
like "list: the newest first" "$out" "$id.*looks-"
muster status "$id"
status_is "status" 0
like "status: outcome" "$out" "ok"
muster status "${id%?}" 
status_is "a unique prefix is enough" 0
muster status looks
status_is "an ambiguous prefix: exit 2" 2
muster status nobody
status_is "an unknown run: exit 2" 2
like "an unknown run is named" "$err" "nobody"
muster status --json "$id"
printf '%s' "$out" >status.json
is "status --json" "$(json_value status.json 'e["outcome"]')" ok

muster logs "$id"
status_is "logs" 0
is "logs: every line of every rank" "$(grep -oE '(first|second) of [01]' <<<"$out" | sort | tr '\n' ',')" "first of 0,first of 1,second of 0,second of 1,"
muster logs --rank 1 "$id"
is "logs --rank: only that rank, as it is" "$out" $'first of 1\nsecond of 1'
muster logs --rank 7 "$id"
ok "logs of a rank that is not there" test "$status" -ne 0
like "and says so" "$err" "7"

muster report "$id"
status_is "report" 0
like "report: the name" "$out" "looks"
muster report --json "$id"
printf '%s' "$out" >report.json
is "report --json" "$(json_value report.json 'e["outcome"]')" ok

muster doctor
ok "doctor ends ($status)" test "$status" -le 3
like "doctor speaks of local" "$out" "local"
done_testing
