#!/bin/bash
# Mounts as a setup step: made with their directories, shared by the nodes of a machine, and taken back however the run ends.
. "$(dirname "$0")/lib.sh" || exit 1

if ! unshare -m mount -t tmpfs none /mnt 2>/dev/null; then
	skip "mounts" "needs the right to mount"
	done_testing
fi
trap 'umount_all; test_exit' EXIT
umount_all()
{
	local path
	for path in $(awk -v own="$SCRATCH/" 'index($5, own) == 1 { print $5 }' /proc/self/mountinfo | tac); do
		umount -l "$(printf '%b' "$path")"
	done
}
mounted() # PATH
{
	mountpoint -q "$1"
}
untouched() # nothing is mounted, and no directory made
{
	! grep -q " $SCRATCH/" /proc/self/mountinfo && [ ! -e "$SCRATCH/mnt" ]
}

mkdir "$SCRATCH/src"
echo hello >"$SCRATCH/src/word"
cat >job.yaml <<J
cluster: {nodes: 2}
setup:
  - {mounts: [{type: tmpfs, from: mine, to: "$SCRATCH/mnt/a b/c", options: [size=1m, mode=0711]}]}
  - {mounts: [{type: none, from: "$SCRATCH/src", to: "$SCRATCH/mnt/bind", options: [bind]}], name: the sources}
run:
  command: "cat $SCRATCH/mnt/bind/word; stat -f -c %T '$SCRATCH/mnt/a b/c'; stat -c %a '$SCRATCH/mnt/a b/c'; touch '$SCRATCH/mnt/a b/c/{node}'"
J
muster run job.yaml
status_is "two mounts on two nodes" 0
is "with their options" "$(output 0) $(output 1)" $'hello\ntmpfs\n711 hello\ntmpfs\n711'
is "each is made once, and shared" "$(cat "$(run_dir)"/outputs/node-*/setup.log | grep -c "mounted, by another node of this run")" 2
like "a step of its own, with a name" "$err" "setup 'mount mine on $SCRATCH/mnt/a b/c' done .*setup 'the sources' done"
ok "unmounted in the end, and the directories are gone" untouched
is "what was mounted is as it was" "$(ls "$SCRATCH/src")" word

# --- what is there already -----------------------------------------------------------------

mkdir "$SCRATCH/there"
mount -t tmpfs theirs "$SCRATCH/there"
cat >there.yaml <<J
setup: [{mounts: [{type: tmpfs, from: mine, to: "$SCRATCH/there"}]}]
run: {command: "grep -c $SCRATCH/there /proc/self/mountinfo"}
J
muster run there.yaml
is "what is mounted is left alone" "$status $(output 0)" "0 1"
like "and it is said" "$err" "skipped: '$SCRATCH/there' already has theirs \(tmpfs\) mounted"
ok "in the end too" mounted "$SCRATCH/there"
umount "$SCRATCH/there"
rmdir "$SCRATCH/there"

# --- failures --------------------------------------------------------------------------------

cat >bad.yaml <<J
setup:
  - {mounts: [{type: tmpfs, from: mine, to: "$SCRATCH/mnt/good"}]}
  - {mounts: [{type: nosuchfs, from: none, to: "$SCRATCH/mnt/bad/x"}]}
run: {command: echo never}
J
muster run bad.yaml
status_is "a file system that is not known" 1
like "why: the node, and mount's words" "$(why)" "'mount none on $SCRATCH/mnt/bad/x'. on node 0 \(127.*ended with status 32: mount: $SCRATCH/mnt/bad/x: "
ok "what was made before is taken back" untouched

# --- in use, killed, crashed -------------------------------------------------------------------

cat >long.yaml <<J
cluster: {lease: 6s}
setup: [{mounts: [{type: tmpfs, from: mine, to: "$SCRATCH/mnt/long"}]}]
run: {command: "cd $SCRATCH/mnt/long && echo begun && exec sleep 3000", grace: 1s}
J
begun()
{
	[ "$(output 0 2>/dev/null)" = begun ]
}
start run long.yaml
wait_for 20 begun
ok "mounted while it runs" mounted "$SCRATCH/mnt/long"
(cd "$SCRATCH/mnt/long" && exec sleep 3000) &
user=$!
muster cancel "$(basename "$(run_dir)")"
start_finished 20
ok "in use by somebody else: away all the same" untouched
kill "$user"

start run long.yaml
wait_for 20 begun
kill -9 "$(agent_pid 0)"
start_finished 20
ok "the agent is killed: the executor takes it back" untouched

start run long.yaml
wait_for 20 begun
kill -9 "$(controller_pid)"
start_finished 20
ok "the controller is killed: the agent takes it back when its lease is over" wait_for 20 untouched

start run long.yaml
wait_for 20 begun
controller=$(controller_pid) agent=$(agent_pid 0) rank=$(rank_pid 0)
kill -STOP "$controller" "$agent"
kill -9 "$controller" "$agent" "$rank"
start_finished 20
ok "both are killed: it is still there" mounted "$SCRATCH/mnt/long"
wait_for 10 gone "$controller"
muster reap
ok "and away when what is left is removed" untouched

# --- a host over ssh -----------------------------------------------------------------------------

. "$TESTS/hosts.sh"
hosts_start 1
there() # on the host
{
	ssh h0 mountpoint -q "$SCRATCH/mnt/long"
}
muster run bad.yaml --set cluster.executor=ssh --set cluster.hosts=[h0]
like "on a host: the step that fails names it" "$(why)" "'mount none on $SCRATCH/mnt/bad/x'. on node 0 \(h0\) ended with status 32"
nok "what was made before is taken back there" test -e "$SCRATCH/mnt"
start run long.yaml --set cluster.executor=ssh --set cluster.hosts=[h0]
wait_for 20 begun
ok "mounted there" there
kill -9 "$(pid_in "$FARM"/h0/nodes/*/node-0/agent.json)"
start_finished 30
nok "its agent is killed: the host is reaped" there
nok "with the directories" test -e "$SCRATCH/mnt"
done_testing
