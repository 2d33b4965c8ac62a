#!/bin/bash
# What goes wrong with containers: killed, removed, the engine restarted, the controller killed, cancelled. It is said, and nothing is left.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/engine.sh"
engine_start
ok "an image" engine_image tools:1 /bin/sh /bin/sleep /bin/cat

cat >wait.yaml <<'J'
name: wait
cluster: {executor: docker, nodes: 3, image: "tools:1"}
run: {command: "echo up; exec sleep 1000"}
J
running() { [ "$(cat "$(run_dir)"/ranks/output-*.txt 2>/dev/null | grep -c up)" -eq 3 ]; }
begin() # NAME [ARGS...]
{
	local name=$1
	shift
	start run wait.yaml "$@"
	wait_for 20 running || fail "$name: it runs" "$(cat "$SCRATCH/bg.err")"
}
container() { echo "$(basename "$(run_dir)")-node-$1"; }
engine_post() { curl -sS --max-time 20 --unix-socket "$ENGINE_DIR/docker.sock" -X "$1" "http://engine$2"; }

begin "a container that is killed"
engine_post POST "/containers/$(container 1)/kill"
start_finished 15
status_is "a container that is killed" 3
is "is a lost node" "$(outcome)" lost
like "named, with the reason" "$(why)" "node 1 is lost: its container has ended with status 137 \(killed\)"
ok "nothing is left in the engine" engine_is_empty

begin "a container that is removed"
engine_post DELETE "/containers/$(container 2)?force=1"
start_finished 15
like "a container that is removed" "$(why)" "node 2 is lost: its container"
ok "nothing is left in the engine" engine_is_empty

cat >stop.yaml <<'J'
name: stop
cluster: {executor: docker, nodes: 3, image: "tools:1"}
run: {command: "trap 'echo last > out-{rank}; exit 0' TERM; echo up; while :; do sleep 0.02; done", grace: 20s}
outputs: ["out-*"]
J
start run stop.yaml
ok "three that write when they end" wait_for 20 running
engine_post POST "/containers/$(container 1)/stop?t=20"
start_finished 15
status_is "a container that is stopped" 3
like "is named" "$(why)" "^node 1 was told to stop \(SIGTERM\)"
is "and brings back what it has, as the others" "$(cat "$(run_dir)"/outputs/node-*/out-* | tr '\n' ' ')" "last last last "
ok "nothing is left in the engine" engine_is_empty

begin "cancelled"
"$MUSTER" cancel "$(basename "$(run_dir)")" >/dev/null
start_finished 15
status_is "cancelled while it runs" 130
ok "nothing is left in the engine" engine_is_empty

start run wait.yaml
some_there() { [ -n "$(engine_containers)" ]; }
ok "the first container is made" wait_for 20 some_there
"$MUSTER" cancel "$(basename "$(run_dir)")" >/dev/null
start_finished 20
status_is "cancelled while it comes up" 130
ok "nothing is left in the engine" engine_is_empty

begin "the controller is killed"
kill -9 "$(controller_pid)"
start_finished 10
dead=$(basename "$(run_dir)")
sleeper=$(run_dir)
begin "another run"
muster reap
like "reap removes what the dead one left" "$out" "$dead: removed container .*node-2"
like "and its network" "$out" "$dead: removed network"
is "and nothing of the one that lives" "$(engine_containers | wc -l)" 3
is "the dead one's record is closed" "$(outcome "$sleeper")" lost
status_is "reap is content" 0

# A controller of another machine is not ours to judge.
engine_post POST "/networks/create" >/dev/null
curl -sS --unix-socket "$ENGINE_DIR/docker.sock" -X POST -H 'Content-Type: application/json' \
	-d '{"Name": "elsewhere", "Labels": {"muster.run": "elsewhere-1", "muster.machine": "another", "muster.controller": "1 1"}}' \
	http://engine/networks/create >/dev/null
muster reap
unlike "what belongs to another machine is not taken for dead" "$out" "elsewhere"
muster reap --force elsewhere-1
like "unless one insists" "$out" "elsewhere-1: removed network"

touch "$ENGINE_DIR/hold"
engine_kill TERM
wait_for 10 test -S "$ENGINE_DIR/docker.sock"
rm "$ENGINE_DIR/hold"
start_finished 40
status_is "the engine is restarted" 3
like "the run says so" "$(why)" "node [0-2] (is lost: its container (has ended|was stopped)|was told to stop)"
ok "the engine is back" wait_for 20 engine_answers
ok "nothing is left in the engine" engine_is_empty
engine_stop
muster run wait.yaml
status_is "no engine" 3
like "is said" "$(why)" "docker.sock"
DOCKER_HOST=ssh://x muster run wait.yaml
like "an engine by ssh is refused" "$err$(why)" "expected unix://PATH or tcp://HOST:PORT"
done_testing
