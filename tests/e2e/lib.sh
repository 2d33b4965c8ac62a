# What every end-to-end test stands on: a scratch directory of its own, TAP, waits with deadlines, and the closing check that nothing is left.
# A test is a bash script NNNN-name.t that sources this file first and calls done_testing last. MUSTER names the program.
# shellcheck shell=bash

set -u
: "${MUSTER:?the path of the muster that was built}"
MUSTER=$(realpath "$MUSTER")
# shellcheck disable=SC2034 # used by the tests
TESTS=$(cd "$(dirname "$0")" && pwd)
SCRATCH=$(mktemp -d /tmp/muster-e2e.XXXXXX)
export MUSTER_RUNS=$SCRATCH/runs
export MUSTER_NODES_DIR=$SCRATCH/nodes
export MUSTER_CLUSTERS=$SCRATCH/clusters
export XDG_STATE_HOME=$SCRATCH/state       # a reaper asks for what it finds there
export KUBECONFIG=$SCRATCH/no-kubeconfig   # and looks at a cluster that is named; not at yours
export MUSTER_E2E=$SCRATCH # in the environment of all that this test starts: what is left is found by it
export LC_ALL=C TERM=dumb
unset MUSTER_SITE MUSTER_RUN MUSTER_NODE
mkdir "$SCRATCH/work"
cd "$SCRATCH/work" || exit 1
exec </dev/null

TEST_COUNT=0
TEST_FAILED=0
CLEANUP= # commands to run at the very end, whatever happens

trap 'test_exit' EXIT
trap 'exit 1' INT TERM HUP

test_exit()
{
	local pid
	eval "$CLEANUP"
	for pid in $(HELPERS='' processes_left); do
		kill -9 "$pid" 2>/dev/null
	done
	"$MUSTER" reap --clusters >/dev/null 2>&1
	cd / && rm -rf "$SCRATCH"
}

# --- results ------------------------------------------------------------------

pass() # NAME
{
	TEST_COUNT=$((TEST_COUNT + 1))
	echo "ok $TEST_COUNT - ${1//\#/}"
}

fail() # NAME [DETAILS]
{
	TEST_COUNT=$((TEST_COUNT + 1))
	TEST_FAILED=$((TEST_FAILED + 1))
	echo "not ok $TEST_COUNT - ${1//\#/}"
	[ -z "${2:-}" ] || diag "$2"
}

diag() # TEXT
{
	printf '%s\n' "$1" | head -c 20000 | LC_ALL=C tr -c '\n\t -~' '?' | cut -c 1-2000 | sed 's/^/# /'
}

ok() # NAME COMMAND...: the command succeeds
{
	local name=$1
	shift
	if "$@"; then pass "$name"; else fail "$name" "status $? of: $*"; fi
}

nok() # NAME COMMAND...: the command fails
{
	local name=$1
	shift
	if "$@"; then fail "$name" "succeeded: $*"; else pass "$name"; fi
}

is() # NAME GOT EXPECTED
{
	if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "got:      $2"$'\n'"expected: $3"; fi
}

like() # NAME TEXT REGEX
{
	if [[ $2 =~ $3 ]]; then pass "$1"; else fail "$1" "does not match: $3"$'\n'"$2"; fi
}

unlike() # NAME TEXT REGEX
{
	if [[ $2 =~ $3 ]]; then fail "$1" "matches: $3"$'\n'"$2"; else pass "$1"; fi
}

at_most() # NAME NUMBER LIMIT
{
	if [ -n "$2" ] && awk -v a="$2" -v b="$3" 'BEGIN { exit !(a + 0 <= b + 0) }'; then pass "$1 ($2)"; else fail "$1" "$2 is more than $3"; fi
}

# Something the machine lacks: a failure where everything must be tested, else a remark.
skip() # NAME WHY
{
	if [ "${MUSTER_TEST_STRICT:-0}" = 1 ]; then
		fail "$1" "cannot be tested here: $2"
	else
		TEST_COUNT=$((TEST_COUNT + 1))
		echo "ok $TEST_COUNT - $1 # SKIP $2"
	fi
}

# --- waiting ------------------------------------------------------------------

wait_for() # SECONDS COMMAND...: until the command succeeds; fails when the time is over
{
	local end=$((SECONDS + $1 + 1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

gone() # PID: the process is no more (a zombie is no more)
{
	! grep -q '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status" 2>/dev/null
}

has_line() # FILE REGEX
{
	grep -qE -- "$2" "$1" 2>/dev/null
}

# --- runs ---------------------------------------------------------------------

muster() # ARGS...: runs it to its end: $out, $err, $status
{
	"$MUSTER" "$@" >"$SCRATCH/out" 2>"$SCRATCH/err"
	status=$?
	out=$(tr -d '\0' <"$SCRATCH/out")
	err=$(tr -d '\0' <"$SCRATCH/err")
}

job() # FILE: standard input becomes a job file; two local nodes unless it says otherwise
{
	cat >"$1"
}

status_is() # NAME EXPECTED: of the last muster
{
	if [ "$status" = "$2" ]; then
		pass "$1"
	else
		fail "$1" "exit status $status, expected $2"$'\n'"stdout: $out"$'\n'"stderr: $err"
	fi
}

start() # ARGS...: launch, then wait until there is a new run (or it has ended), so that run_dir means that one
{
	local before
	before=$(run_count)
	launch "$@"
	wait_for 20 new_run_or_gone "$before"
}

new_run_or_gone() # COUNT
{
	[ "$(run_count)" -gt "$1" ] || gone "$started"
}

launch() # ARGS...: muster in the background: its pid is $started, it writes to $SCRATCH/bg.out and bg.err
{
	# A shell starts what is in the background deaf to Ctrl-C.
	env --default-signal=INT,QUIT,HUP "$MUSTER" "$@" >"$SCRATCH/bg.out" 2>"$SCRATCH/bg.err" &
	started=$!
}

start_finished() # SECONDS: waits for what was started: $out, $err, $status; kills it and fails when it takes longer
{
	if ! wait_for "$1" gone "$started"; then
		diag "still running after $1 s"
		kill -9 "$started" 2>/dev/null
	fi
	wait "$started" 2>/dev/null
	status=$?
	out=$(tr -d '\0' <"$SCRATCH/bg.out")
	err=$(tr -d '\0' <"$SCRATCH/bg.err")
}

run_dir() # the directory of the newest run
{
	local dir
	# shellcheck disable=SC2012 # ls sorts by time, and the names are ours: no newlines
	dir=$(ls -td "$MUSTER_RUNS"/*/ 2>/dev/null | head -n 1)
	printf '%s' "${dir%/}"
}

run_count()
{
	find "$MUSTER_RUNS" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | wc -l
}

output() # RANK [RUN_DIR]: what that rank printed
{
	cat "${2:-$(run_dir)}/ranks/output-$1.txt"
}

# Values out of files of JSON lines: json_lines FILE 'EXPRESSION': for each line as e, prints the expression unless it is None.
json_lines()
{
	/usr/bin/python3 -c '
import json, sys
for line in open(sys.argv[1]):
    try:
        e = json.loads(line)
    except ValueError:
        continue
    got = eval(sys.argv[2])
    if got is not None and got is not False:
        print(got if isinstance(got, str) else json.dumps(got))
' "$1" "$2"
}

events() # EXPRESSION [RUN_DIR]
{
	json_lines "${2:-$(run_dir)}/events.jsonl" "$1"
}

event_seen() # TYPE [RUN_DIR]
{
	grep -q "\"type\": *\"$1\"" "${2:-$(run_dir)}/events.jsonl" 2>/dev/null
}

in_state() # STATE [RUN_DIR]: the last state the run entered
{
	[ "$(events 'e["to"] if e["type"] == "state" else None' "${2:-$(run_dir)}" 2>/dev/null | tail -n 1)" = "$1" ]
}

outcome() # [RUN_DIR]
{
	events 'e["outcome"] if e["type"] == "end" else None' "${1:-$(run_dir)}"
}

why() # [RUN_DIR]
{
	events 'str(e["why"]) if e["type"] == "end" else None' "${1:-$(run_dir)}"
}

json_value() # FILE EXPRESSION: of the whole file as e
{
	/usr/bin/python3 -c '
import json, sys
e = json.load(open(sys.argv[1]))
got = eval(sys.argv[2])
print(got if isinstance(got, str) else json.dumps(got))' "$1" "$2"
}

pid_in() # FILE: a JSON object with "pid"
{
	grep -oE '"pid": *[0-9]+' "$1" 2>/dev/null | grep -oE '[0-9]+'
}

controller_pid() # [RUN_DIR]
{
	pid_in "${1:-$(run_dir)}/control.json"
}

agent_pid() # NODE [RUN_DIR]
{
	pid_in "$MUSTER_NODES_DIR/$(basename "${2:-$(run_dir)}")/node-$1/agent.json"
}

rank_pid() # RANK [RUN_DIR]: of its latest start
{
	events "e['pid'] if e['type'] == 'start' and e['rank'] == $1 else None" "${2:-$(run_dir)}" | tail -n 1
}

peak_memory() # PID: the most it ever had resident, in KiB
{
	awk '/^VmHWM/ { print $2 }' "/proc/$1/status" 2>/dev/null
}

# --- what is left -------------------------------------------------------------

# All processes that carry this test's scratch directory or one of its runs in their environment. The test's own shell does not: it was
# started before there was one. HELPERS are pids of programs the test itself started and will end.
processes_left()
{
	local words=(-e "MUSTER_E2E=$SCRATCH") dir file pid
	for dir in "$MUSTER_RUNS"/*/ "$MUSTER_CLUSTERS"/*/*/; do
		[ -d "$dir" ] && words+=(-e "MUSTER_RUN=$(basename "$dir")")
	done
	# shellcheck disable=SC2013 # no blanks in these paths; $(...) waits for grep, which matches itself
	for file in $(grep -lzFx "${words[@]}" /proc/[0-9]*/environ 2>/dev/null); do
		pid=${file//[!0-9]/}
		case " ${HELPERS:-} " in *" $pid "*) continue ;; esac
		gone "$pid" || echo "$pid"
	done
}

cgroups_left()
{
	local dir
	for dir in "$MUSTER_RUNS"/*/; do
		[ -d "$dir" ] && find /sys/fs/cgroup -type d -path "*muster*" -name "*$(basename "$dir")*" 2>/dev/null
	done
}

nothing_left()
{
	[ -z "$(processes_left)" ] && [ -z "$(ls -A "$MUSTER_NODES_DIR" 2>/dev/null)" ] && [ -z "$(ls -A "$MUSTER_CLUSTERS" 2>/dev/null)" ] && [ -z "$(cgroups_left)" ]
}

nothing_is_left() # [NAME]: three results become one; it may take a moment until the last process is gone
{
	local pid text
	if wait_for 5 nothing_left; then
		pass "${1:-nothing is left}"
		return
	fi
	text="in $MUSTER_NODES_DIR: $(ls -A "$MUSTER_NODES_DIR" 2>/dev/null)"$'\n'"clusters: $(ls -A "$MUSTER_CLUSTERS" 2>/dev/null)"$'\n'"cgroups: $(cgroups_left)"
	for pid in $(processes_left); do
		text+=$'\n'"process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
	done
	fail "${1:-nothing is left}" "$text"
}

done_testing()
{
	nothing_is_left "in the end nothing is left"
	echo "1..$TEST_COUNT"
	[ "$TEST_FAILED" -eq 0 ]
	exit
}
