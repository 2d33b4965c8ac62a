#!/bin/bash
# A job file that is not right: one clear message with the place, exit 2, and nothing was started.
. "$(dirname "$0")/lib.sh" || exit 1

refused() # NAME REGEX [ARGS...]: what is on standard input is refused with a message like that
{
	local name=$1 regex=$2
	shift 2
	cat >bad.yaml
	muster run "$@" bad.yaml
	status_is "$name: exit 2" 2
	like "$name: says why" "$err" "$regex"
	is "$name: one message, no other output" "$(grep -c . "$SCRATCH/err") $out" "1 "
}

refused "unknown key" "bad\.yaml:3:[0-9]+:.*comand.*command" <<'J'
cluster: {nodes: 2}
run:
  comand: echo hello
J
refused "unknown key at the top" "bad\.yaml:1:1:.*clustr.*cluster" <<'J'
clustr: {nodes: 2}
run: {command: 'true'}
J
refused "wrong type" "bad\.yaml:1:[0-9]+:.*many.*expected.*number|bad\.yaml:1:[0-9]+:.*many.*expected" <<'J'
cluster: {nodes: many}
run: {command: 'true'}
J
refused "wrong type of a section" "bad\.yaml:2:[0-9]+:.*expected" <<'J'
cluster: {nodes: 1}
run: [1, 2]
J
refused "duplicate key" "bad\.yaml:3:[0-9]+:.*command" <<'J'
run:
  command: 'true'
  command: 'false'
J
refused "unit" "bad\.yaml:2:[0-9]+:.*parsecs" <<'J'
cluster: {nodes: 1}
run: {command: 'true', timeout: 3 parsecs}
J
refused "no command" "bad\.yaml.*command" <<'J'
cluster: {nodes: 1}
run: {launch: none}
J
refused "unknown executor" "executor.*moon.*local|moon.*executor.*local|moon.*local" <<'J'
cluster: {executor: moon, nodes: 1}
run: {command: 'true'}
J
refused "unknown launch" "bad\.yaml:1:[0-9]+:.*torhc.*torch" <<'J'
run: {launch: torhc, command: 'true'}
J
refused "bad regular expression" "bad\.yaml:2:.*\(" <<'J'
run: {command: 'true'}
metrics: [{name: loss, pattern: 'loss (['}]
J
refused "not YAML" "bad\.yaml:[0-9]+:[0-9]+:" <<'J'
run: {command: 'true'
  x: ]
J
refused "empty file" "bad\.yaml" </dev/null
refused "--set of an unknown key" "run\.comand.*run\.command|comand.*command" --set run.comand=x <<'J'
run: {command: 'true'}
J
refused "--set of a wrong value" "cluster\.nodes.*x" --set cluster.nodes=x <<'J'
run: {command: 'true'}
J
refused "--set without a value" "run\.command.*=|=.*run\.command" --set run.command <<'J'
run: {command: 'true'}
J

head -c 10M /dev/urandom >garbage
refused "10 MB of garbage" "bad\.yaml" <garbage
tr '\0' 'a' < <(head -c 10M /dev/zero) >word
refused "10 MB of one word" "bad\.yaml" <word

{
	echo 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]'
	for i in 1 2 3 4 5 6 7 8 9; do
		echo "a$i: &a$i [*a$((i - 1)), *a$((i - 1)), *a$((i - 1)), *a$((i - 1)), *a$((i - 1)), *a$((i - 1)), *a$((i - 1)), *a$((i - 1)), *a$((i - 1))]"
	done
	echo 'run: {command: *a9}'
} >laughs.yaml
begin=$SECONDS
refused "a billion laughs" "bad\.yaml" <laughs.yaml
at_most "a billion laughs: seconds until it is refused" $((SECONDS - begin)) 5

muster run missing.yaml
status_is "a file that is not there: exit 2" 2
like "a file that is not there: says so" "$err" "missing\.yaml.*[Nn]o such file"
muster run
status_is "no file: exit 2" 2
muster run --nonsense bad.yaml
status_is "an unknown option: exit 2" 2
like "an unknown option is named" "$err" "nonsense"
muster rnu bad.yaml
status_is "an unknown command: exit 2" 2
like "an unknown command: did you mean" "$err" "rnu.*run"

is "no run was made" "$(run_count)" 0
done_testing
