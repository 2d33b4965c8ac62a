#!/bin/bash
# Packages as a setup step, by the real apt-get, in a mount name space with a repository and a dpkg of this test alone.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/packages.sh"

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	skip "packages" "needs root, and Debian"
	done_testing
fi

system=$SCRATCH/system
apt_world "$system"
chmod 755 "$SCRATCH"

program=$MUSTER
MUSTER=$SCRATCH/elsewhere
cat >"$MUSTER" <<S
#!/bin/sh
[ "\$1" = inside ] || exec unshare -m "\$0" inside "\$@"
shift
$APT_MOUNTS
exec $program "\$@"
S
chmod 755 "$MUSTER"

# --- installed once, and not again -------------------------------------------------------

cat >job.yaml <<'J'
cluster: {nodes: 2}
setup: [{packages: [muster-test-tool, muster-test-library], env: {WORD: hello}}]
run: {command: cat /opt/muster-test/*}
J
muster run job.yaml
status_is "two packages" 0
is "their files are there" "$(output 1)" $'muster-test-library\nmuster-test-tool'
log=$(cat "$(run_dir)"/outputs/node-*/setup.log)
is "installed once on a machine of two nodes, nobody is asked, its environment is the step's" \
	"$(grep -c 'tool asks noninteractive, hello' <<<"$log")" 1
like "the other node waited and saw" "$log$(events 'e.get("skipped") if e["type"] == "setup" else None')" "all (are )?installed"
like "the step has a name and a time" "$err" "setup 'packages muster-test-tool muster-test-library' done \([0-9.]+ m?s\)"

muster run job.yaml
status_is "again" 0
like "all are installed: nothing is done" "$err" "node 0: setup 'packages .*' skipped: all are installed"

# --- a lock somebody holds ----------------------------------------------------------------

echo 'setup: [{packages: [muster-test-none]}]
run: {command: echo never}' >none.yaml
rm -f "$system/lists/lock"
/usr/bin/python3 -c '
import fcntl, os, sys, time
lock = open(sys.argv[1], "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
open(sys.argv[2], "w")
while not os.path.exists(sys.argv[3]):
    time.sleep(0.02)
' "$system/lists/lock" "$SCRATCH/held" "$SCRATCH/release" &
holder=$!
wait_for 10 test -e "$SCRATCH/held"
launch run none.yaml
waiting()
{
	grep -q "waiting for process $holder" "$MUSTER_NODES_DIR"/none-*/node-0/setup.log
}
ok "it waits for who holds apt's lock, and says for whom" wait_for 20 waiting
touch "$SCRATCH/release"
start_finished 30
wait "$holder"
is "a package that is not there" "$status" 1
like "why: the node, and apt's last words" "$(why)" "'packages muster-test-none'. on node 0 \(127.*ended with status 100: .*E: Unable to locate package muster-test-none"

# --- no root, no package manager ------------------------------------------------------------

mkdir "$SCRATCH/bin" "$SCRATCH/tools"
cp "$program" "$(dirname "$program")/muster-agent" "$SCRATCH/bin"
sed -i "s|^exec .*|exec \${USER_ID:+setpriv --reuid \$USER_ID --regid \$USER_ID --clear-groups} env PATH=\${TOOLS:-\$PATH} $SCRATCH/bin/muster \"\$@\"|" "$MUSTER"
chown -R 65534:65534 "$SCRATCH/work" "$MUSTER_RUNS" "$MUSTER_NODES_DIR"
USER_ID=65534 muster run job.yaml
status_is "what is installed needs no root" 0
USER_ID=65534 muster run none.yaml
like "what is not does" "$(why)" "'packages muster-test-none'.*needs root, and sudo"
chown -R 0:0 "$MUSTER_RUNS" "$MUSTER_NODES_DIR"
TOOLS=$SCRATCH/tools muster run none.yaml
like "no package manager at all" "$(why)" "found no package manager, expected apt-get, dnf or apk"
done_testing
