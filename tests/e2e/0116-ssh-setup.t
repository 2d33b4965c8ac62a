#!/bin/bash
# Setup steps on hosts that ssh reaches: packages by what each of them has, steps that run once, are skipped, take too long or fail; what is kept
# of them, and what is said.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/hosts.sh"
. "$TESTS/packages.sh"
hosts_start 2
apt_world "$FARM/h0/world"
dnf_world "$FARM/h1/world"
host_prepare 0 <<<"$APT_MOUNTS"
host_prepare 1 <<<"$DNF_MOUNTS"

cat >job.yaml <<'J'
cluster: {executor: ssh, hosts: ["h[0-1]"]}
setup:
  - {name: words, run: 'echo one; echo two >&2; sleep 0.3; seq 100'}
  - {packages: [muster-test-tool, muster-test-library], env: {WORD: hello}}
  - {name: only one, once: true, run: 'echo once at {addr}'}
  - {name: made, creates: /opt/muster-test/made, run: 'echo made >/opt/muster-test/made', become: true}
run: {command: cat /opt/muster-test/*}
J
# A package manager that was ended in the middle of its work is in nobody's way afterwards.
mkdir "$FARM/h0/world/opt/muster-test"
touch "$FARM/h0/world/opt/muster-test/wait"
start run job.yaml --set 'cluster.hosts=[h0]'
ok "a package is half installed" wait_for 30 test -e "$FARM/h0/world/opt/muster-test/waits"
kill -INT "$started"
start_finished 30
is "the run is cancelled" "$status" 130
ok "dpkg has noticed" test -n "$(ls "$FARM/h0/world/dpkg/updates")"
rm "$FARM"/h0/world/opt/muster-test/{wait,waits}

steps() { events "[e['node'], e['status'], round(e['seconds'], 1) >= $2, e.get('skipped')] if e['type'] == 'setup' and e['name'] == '$1' else None" | sort | tr '\n' ' '; }
log() { cat "$(run_dir)/outputs/node-$1/setup.log"; }
muster run job.yaml
status_is "packages and more" 0
for k in 0 1; do
	is "h$k: all of it is there" "$(output $k | tr '\n' ' ')" "made muster-test-library muster-test-tool "
	is "h$k: what a step says is kept whole" "$(log $k | head -n 102)" $'one\ntwo\n'"$(seq 100)"
	like "h$k: each step is named and timed" "$err" "node $k: setup 'words' done \([0-9.]+ m?s\)"
done
is "the time is right" "$(steps words 0.3)" "[0, 0, true, null] [1, 0, true, null] "
like "one host has apt-get" "$(log 0)" "Setting up muster-test-tool.*tool asks noninteractive, hello"
like "the other has dnf" "$(log 1)" "Installing +: muster-test-tool.*tool asks hello"
is "what runs once does so on the first" "$(steps 'only one' 0)" "[0, 0, true, null] "

muster run job.yaml
status_is "again" 0
is "what is there is not made again" "$(steps made 0)" "[0, 0, true, \"'/opt/muster-test/made' is there\"] [1, 0, true, \"'/opt/muster-test/made' is there\"] "
is "nor installed" "$(steps 'packages muster-test-tool muster-test-library' 0)" '[0, 0, true, "all are installed"] [1, 0, true, "all are installed"] '

cat >bad.yaml <<'J'
cluster: {executor: ssh, hosts: ["h[0-1]"]}
setup: [{name: half, run: 'if [ {node} = 1 ]; then for i in 1 2 3 4 5; do echo line $i; done; exit 9; fi'}]
run: {command: echo never}
J
muster run bad.yaml
status_is "a step that fails" 1
like "why: the step, the host, the status, the last lines" "$(why)" "setup step 1 \('half'\) on node 1 \(h1\) ended with status 9: line 3 \| line 4 \| line 5"
like "it is shown" "$err" "h1.*line 3 \| line 4 \| line 5"
is "all of its lines are kept" "$(log 1 | tr '\n' ' ')" "line 1 line 2 line 3 line 4 line 5 "
muster run bad.yaml --set 'setup=[{packages: [muster-test-none]}]'
like "a package that one of them does not have" "$(why)" "packages muster-test-none'\) on node (0 \(h0\) .*Unable to locate package|1 \(h1\) .*Unable to find a match: )"
muster run bad.yaml --set 'setup=[{name: slow, run: "echo begun; sleep 1000", timeout: 500ms}]'
status_is "a step that takes too long" 1
like "says which, and where" "$(why)" "'slow'\) on node [01] \(h[01]\) took longer than its timeout"
ok "nothing is left on the hosts" wait_for 5 hosts_are_clean
done_testing
