#!/bin/bash
# A test that is killed leaves no server behind: neither the Docker engine nor the sshd that it started.
. "$(dirname "$0")/lib.sh"

# Another test, as far as its servers go. Its directories are below $SCRATCH.
cat >server-test <<'S'
. "$TESTS/engine.sh"
. "$TESTS/hosts.sh"
mktemp() { mkdir -p "$SCRATCH/$name" && echo "$SCRATCH/$name"; }
name=engine
engine_start
name=farm
hosts_start 1
echo "$(pgrep -P "$ENGINE_PID")" "$(cat "$FARM/h0/pid")" >servers.new
mv servers.new servers
exec sleep 1000
S
export SCRATCH TESTS
export -f wait_for
env -u MUSTER_E2E CLEANUP= bash ./server-test >log 2>&1 &
test=$!
ok "a test has an engine and a host" wait_for 60 test -s servers || diag "$(cat log)"
read -r engine sshd <servers
ok "the engine runs" kill -0 "$engine"
ok "sshd runs" kill -0 "$sshd"
kill -9 "$test"
wait "$test" 2>/dev/null
ok "the test is killed: the engine ends" wait_for 20 gone "$engine"
ok "and so does sshd" wait_for 20 gone "$sshd"
no_dockerd() { ! grep -qsF "$SCRATCH/engine/docker.sock" /proc/[0-9]*/cmdline; }
ok "with dockerd" wait_for 20 no_dockerd
kill -9 "$engine" "$sshd" 2>/dev/null
done_testing
