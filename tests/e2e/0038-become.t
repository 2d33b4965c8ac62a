#!/bin/bash
# Setup steps as root: by sudo where the user is another; refused, killed, skipped; and nothing of root's stays.
. "$(dirname "$0")/lib.sh" || exit 1

if [ "$(id -u)" != 0 ]; then
	skip "setup as root" "only root can run muster as another user"
	done_testing
fi

# A user who is nobody in particular, with sudo's rules of this test alone.
bin=$SCRATCH/bin rules=$SCRATCH/rules
mkdir "$bin" "$rules" "$MUSTER_RUNS" "$MUSTER_NODES_DIR"
cp "$MUSTER" "$(dirname "$MUSTER")/muster-agent" "$bin"
chmod 755 "$SCRATCH"
chown 65534:65534 . "$MUSTER_RUNS" "$MUSTER_NODES_DIR"
chmod 700 "$MUSTER_NODES_DIR"
MUSTER=$SCRATCH/as-nobody
cat >"$MUSTER" <<S
#!/bin/sh
[ "\$1" = inside ] || exec unshare -m "\$0" inside "\$@"
shift
mount --bind $rules /etc/sudoers.d || exit 99
exec setpriv --reuid 65534 --regid 65534 --clear-groups env PATH="\${NO_SUDO:-\$PATH}" $bin/muster "\$@"
S
chmod 755 "$MUSTER"
allow()
{
	echo '#65534 ALL=(ALL) NOPASSWD: ALL' >"$rules/muster"
	chmod 440 "$rules/muster"
}
allow

cat >job.yaml <<'J'
setup:
  - id -u
  - {name: root, become: true, run: 'id -u; echo "$WORD from $MUSTER_NODE"; pwd; touch {data}/made', env: {WORD: "it's a \"secret\""}}
  - {name: again, become: true, creates: "{data}/made", run: echo never}
  - {name: mine, creates: "{data}/made", run: echo never}
  - {name: other, creates: made, run: echo made; touch made}
  - {name: stays, become: true, run: 'setsid sleep 4000 </dev/null >/dev/null 2>&1 & echo $! >{data}/pid'}
run: {command: "stat -c %u {data}/made; pid=$(cat {data}/pid); for i in $(seq 100); do grep -q sleep /proc/$pid/comm && break; /bin/sleep 0.05; done; grep -c sleep /proc/$pid/comm"}
J
last() { events "' | '.join(e['last']) if e['type'] == 'setup' and e['name'] == '$1' else None"; }
muster run job.yaml
status_is "steps as root" 0
is "one step is the user's" "$(last 'id -u')" 65534
is "the other is root's, with its environment, in the rank's directory" "$(last root)" \
	"0 | it's a \"secret\" from 0 | $MUSTER_NODES_DIR/$(basename "$(run_dir)")/node-0/out"
is "the ranks are the user's, and what a step left running is there" "$(output 0)" $'0\n1'
like "what exists is not made again, and it is said" "$err" "setup 'again' skipped: .*data/made' is there"
is "not by the user either" "$(events 'e["name"] if e["type"] == "setup" and "skipped" in e else None' | tr '\n' ' ')" "again mine "
is "a path is meant from {out}" "$(last other)" made
nothing_is_left "what root's step left running has ended with the run"

cat >job.yaml <<'J'
setup: [{name: slow, become: true, run: 'echo begun; sleep 4000', timeout: 300ms}]
run: {command: echo never}
J
muster run job.yaml
status_is "a step of root's that takes too long" 1
like "it is said" "$(why)" "slow.*timeout"
nothing_is_left "and it is killed"

cat >job.yaml <<'J'
setup: [{name: bad, become: true, run: "echo it is broken; exit 7"}]
run: {command: echo never}
J
muster run job.yaml
like "a failing step: its node, status and last words" "$(why)" "'bad'. on node 0 \(127.*ended with status 7: it is broken"

cat >job.yaml <<'J'
setup: [{become: true, run: 'setsid sleep 4000 </dev/null >/dev/null 2>&1 & echo $!'}]
run: {command: sleep 3000}
J
"$MUSTER" run job.yaml >/dev/null 2>&1 &
running=$!
wait_for 20 event_seen start
stays=$(last 'setsid sleep 4000 </dev/null >/dev/null 2>&1 & echo $!')
nok "what it leaves lives as long as the run" gone "$stays"
kill -9 "$(agent_pid 0)"
ok "and not longer than an agent that is killed" wait_for 5 gone "$stays"
wait "$running"

cat >job.yaml <<J
setup: [{mounts: [{type: tmpfs, from: none, to: $SCRATCH/mnt/x, options: [mode=0755]}]}]
run: {command: stat -f -c %T $SCRATCH/mnt/x}
J
muster run job.yaml
is "a mount: made by root" "$status $(output 0)" "0 tmpfs"
nok "and taken back" test -e "$SCRATCH/mnt"

rm "$rules/muster"
cat >job.yaml <<'J'
setup: [{name: root, become: true, run: id -u}]
run: {command: echo never}
J
muster run job.yaml
status_is "sudo refuses" 1
like "why: the node, and what sudo says" "$(why)" "'root'. on node 0 \(127.*sudo.*password is required"
NO_SUDO=$bin muster run job.yaml
like "no sudo there at all" "$(why)" "'root'. on node 0.*cannot run 'sudo'"
done_testing
