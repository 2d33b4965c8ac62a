#!/bin/bash
# A run without a viewer: --detach, attach, logs -f, exec into its nodes.
. "$(dirname "$0")/lib.sh" || exit 1

cat >job.yaml <<'J'
name: alone
cluster: {nodes: 2}
run:
  command: |
    echo begin {rank}
    while [ ! -e {data}/next ]; do sleep 0.05; done
    echo middle {rank}
    while [ ! -e {data}/go ]; do sleep 0.05; done
    echo finish {rank}; exit $(cat {data}/go)
J
ready() { has_line "$(run_dir)/ranks/output-0.txt" begin && has_line "$(run_dir)/ranks/output-1.txt" begin; }
tell() { for node in 0 1; do echo "${2:-0}" >"$MUSTER_NODES_DIR/$(basename "$(run_dir)")/node-$node/data/$1.new" && mv "$MUSTER_NODES_DIR/$(basename "$(run_dir)")/node-$node/data/$1"{.new,}; done; }

muster run --detach job.yaml
status_is "run --detach" 0
id=$(basename "$(run_dir)")
like "it says which run" "$out$err" "$id"
ok "it goes on" wait_for 20 ready
muster status
like "status: running" "$out" "running"

muster exec "$id" --node 1 -- sh -c 'echo "node $MUSTER_NODE of run $MUSTER_RUN"; echo problem >&2; pwd; exit 7'
status_is "exec: the command's exit status" 7
like "exec: its output" "$out" "node 1 of run $id"
is "exec: its standard error" "$err" "problem"
printf 'a\0b' | "$MUSTER" exec "$id" --node 0 -- cat >"$SCRATCH/through"
ok "exec: standard input goes through, binary" cmp "$SCRATCH/through" <(printf 'a\0b')
muster exec "$id" --node 0 -- printf '<%s>' "a b" "" '$x' "it's"
is "exec: arguments as they are" "$out" "<a b><><\$x><it's>"
muster exec "$id" --node 0 -- no-such-program
ok "exec: a program that is not there" test "$status" -ne 0
like "exec: is named" "$err" "no-such-program"
muster exec "$id" --node 9 -- true
ok "exec: a node that is not there" test "$status" -eq 2 -o "$status" -eq 3
like "exec: is named too" "$err" "9"
muster exec "$id" --node 0 -- test -t 0
ok "exec: no terminal when there is none" test "$status" -eq 1
script -qec "'$MUSTER' exec '$id' --node 0 -- sh -c 'test -t 0 && test -t 1 && echo terminal; stty size'" /dev/null </dev/null >"$SCRATCH/tty" 2>&1
like "exec: a terminal when there is one" "$(cat "$SCRATCH/tty")" "terminal"

launch logs -f "$id"
ok "logs -f shows what is there" wait_for 10 has_line "$SCRATCH/bg.out" "begin 1"
tell next
ok "logs -f shows what comes" wait_for 10 has_line "$SCRATCH/bg.out" "middle 1"
follower=$started
cp "$SCRATCH/bg.out" "$SCRATCH/follow.out"
"$MUSTER" attach "$id" >"$SCRATCH/attach.out" 2>&1 &
attached=$!
ok "attach shows it" wait_for 10 grep -q "middle 0" "$SCRATCH/attach.out"
tell go 0
ok "attach ends with the run" wait_for 20 gone "$attached"
wait "$attached"
is "attach: exit 0" $? 0
ok "logs -f ends with the run" wait_for 10 gone "$follower"
wait "$follower"
is "the outcome is ok" "$(outcome)" ok

muster attach "$id"
status_is "attach to a run that has ended: its exit status" 0

muster run --detach job.yaml
ok "another" wait_for 20 ready
tell next
tell go 4
muster attach
status_is "attach to a failing run: exit 1" 1
muster logs --since 1h
like "logs --since: recent lines" "$out" "finish"
done_testing
