#!/bin/bash
# Hosts that ssh reaches: a run from nothing, again with the agent there, what each node is told, hosts that fail, and what is left.
. "$(dirname "$0")/lib.sh"
. "$TESTS/hosts.sh"
hosts_start 4

cat >hello.yaml <<'Y'
cluster: {executor: ssh, hosts: ["h[0-3]"]}
run:
  command: echo "rank $MUSTER_RANK of $MUSTER_SIZE on {addr} says 'a  b' \"c\" \$d"; seq 1 2000 | sed "s/^/$MUSTER_RANK /"
outputs: []
Y

muster run hello.yaml
status_is "a run on four hosts that never saw an agent" 0
for k in 0 1 2 3; do
	is "rank $k prints what it should" "$(output "$k" | head -n 1)" "rank $k of 4 on $(host_address "$k") says 'a  b' \"c\" \$d"
	is "to the end" "$(output "$k" | tail -n 1)" "$k 2000"
	is "the agent lies on h$k once" "$(find "$FARM/h$k/cache/muster" -mindepth 1 -maxdepth 1 | wc -l)" 1
done
ok "nothing else is left on the hosts" wait_for 5 hosts_are_clean
is "the receipt says so" "$(events 'len(e["left"]) if e["type"] == "receipt" else None')" 0

before=$(stat -c %i "$FARM"/h*/cache/muster/*)
muster run hello.yaml
status_is "a second run" 0
is "brings no agent" "$(stat -c %i "$FARM"/h*/cache/muster/*)" "$before"

# Fewer nodes than hosts, and an inventory that is named on the command line: as if it stood in the job file.
mkdir sub && cp hello.yaml sub/ && printf '[lab]\nh[2:3]\n' >sub/hosts.ini
muster run sub/hello.yaml --set cluster.hosts= --set cluster.inventory=hosts.ini --set cluster.nodes=1
status_is "the first host of an inventory beside the job file" 0
is "is the one" "$(output 0 | head -n 1 | grep -o 'on [0-9.]*')" "on $(host_address 2)"
like "that another one is named is said" "$err" "found 2 hosts, using the first 1 as"

# Two names of one host, or hosts that share a home: both bring the agent at once, and it must not be taken away under the one that runs.
printf 'Host twin\n    HostName %s\n    Port 2222\n' "$(host_address 0)" >>"$FARM/config"
rm -rf "$FARM/h0/cache"
muster run hello.yaml --set 'cluster.hosts=[h0,twin]' --set 'run.command=readlink /proc/$PPID/exe; umask'
status_is "two nodes on a host that never saw an agent" 0
for k in 0 1; do
	is "rank $k: its agent is the one that stays, and the umask is the host's" "$(output $k)" "$(ls "$FARM"/h0/cache/muster/*)"$'\n'"$(ssh h0 umask)"
done

# An agent that is not what its name says is never run: it is named after its sum, and only its owner writes there.
cat >two.yaml <<'Y'
cluster: {executor: ssh, hosts: [h0, h1, nowhere.invalid]}
run: {command: sleep 60}
Y
muster run two.yaml
status_is "a host that cannot be reached" 3
like "is named, with ssh's own words" "$err$(why)" "node 2 on host 'nowhere.invalid'.*(resolve|not known)"
ok "the others are cleaned" wait_for 5 hosts_are_clean

muster run hello.yaml --set 'cluster.hosts=[h0,nobody-here@h1]'
status_is "a user that is not there" 3
like "is named" "$(why)" "nobody-here@h1.*Permission denied"
ok "and the others are cleaned" wait_for 5 hosts_are_clean

host_down 1
ssh-keygen -q -t ed25519 -N '' -f "$FARM/h1/other"
sed -i "s|h1/key$|h1/other|" "$FARM/h1/sshd"
host_up 1
wait_for 10 has_line "$FARM/h1/log" "Server listening.*"
muster run hello.yaml
status_is "a host that shows another key" 3
like "is refused, and said why" "$(why)" "host 'h1'.*Host key verification failed: the host key differs"
ok "and nothing stays" wait_for 5 hosts_are_clean
muster run hello.yaml --set 'cluster.hosts=[h0,127.0.0.1:1]'
status_is "a port nobody listens at" 3
like "is refused" "$(why)" "127.0.0.1:1.*Connection refused"

host_fill 2
muster run hello.yaml --set 'cluster.hosts=[h0,h2]'
status_is "a host whose disk is full" 3
like "says so" "$(why)" "host 'h2'.*No space left"
host_down 2
host_up 2
wait_for 10 ssh h2 true
ok "and is clean" wait_for 5 hosts_are_clean

# One that becomes full in the middle of a run, by the run itself: what is printed comes all the same.
mkdir -p "$FARM/h2/nodes"
host_prepare 2 <<<'mount -t tmpfs -o size=20m,mode=700 tmpfs nodes'
cat >full.yaml <<'Y'
cluster: {executor: ssh, hosts: [h0, h2]}
run: {command: 'if [ {rank} = 1 ]; then cat /dev/zero >full; seq 300000; fi', timeout: 60s}
Y
muster run full.yaml
is "a disk that a rank fills" "$status $(output 1 | grep -v '^cat:' | md5sum)" "0 $(seq 300000 | md5sum)"
like "the rank is told" "$(output 1 | head -n 1)" "No space left"
rm "$FARM/h2/prepare"
host_down 2
host_up 2
wait_for 10 ssh h2 true
ok "and the host is clean" wait_for 5 hosts_are_clean

# The link may break as often as it likes: the output comes whole.
cat >long.yaml <<Y
cluster: {executor: ssh, hosts: [h0, h3]}
run: {command: 'for i in \$(seq 3000); do echo "{rank} line \$i of many"; case \$i in 300 | 1500) until [ -e $SCRATCH/go-\$i ]; do sleep 0.05; done ;; esac; done'}
Y
start run long.yaml
wait_for 20 has_line "$(run_dir)/ranks/output-1.txt" "line 300 "
host_drop 3
touch "$SCRATCH/go-300"
wait_for 20 has_line "$(run_dir)/ranks/output-1.txt" "line 1500 "
host_down 3
touch "$SCRATCH/go-1500"
sleep 0.2 # what is tested: a host that is away for a moment
host_up 3
start_finished 60
is "sshd killed in the middle of a run, twice: it goes on" "$status" 0
for r in 0 1; do
	is "rank $r lost and doubled nothing" "$(output $r | md5sum)" "$(for i in $(seq 3000); do echo "$r line $i of many"; done | md5sum)"
done
ok "and nothing is left" wait_for 5 hosts_are_clean

# A controller that is killed: reap, which knows nothing but what was written down, cleans the hosts.
start run hello.yaml --set 'run.command=sleep 1000' --set 'cluster.hosts=[h0,h2]'
wait_for 20 in_state running
wait_for 10 event_seen start
kill -9 "$(controller_pid)"
start_finished 20
dir=$(run_dir)
nok "a killed controller leaves nodes" hosts_are_clean
# What the engine has is asked for last: one that does not answer keeps nothing else from going.
python3 -c 'import signal, socket; s = socket.socket(socket.AF_UNIX); s.bind("mute"); s.listen(); signal.pause()' &
mute=$!
wait_for 10 test -S mute
env -u MUSTER_E2E MUSTER_NODES_DIR="$FARM/h0/nodes" DOCKER_HOST="unix://$PWD/mute" timeout 20 "$(dirname "$MUSTER")/muster-agent" reap "$(basename "$dir")" >/dev/null &
mute_sweep=$!
ok "a host whose Docker Engine does not answer is cleaned" wait_for 10 test ! -e "$FARM/h0/nodes/$(basename "$dir")"
kill $mute_sweep $mute
host_down 2
muster reap "$(basename "$dir")"
status_is "reap with a host away" 3
like "names it" "$out$err" "h2"
ok "and remembers it" test -s "$XDG_STATE_HOME/muster/ssh/$(basename "$dir").json"
host_up 2
wait_for 10 ssh h2 true
muster reap
status_is "reap, the host back" 0
ok "cleans it" wait_for 5 hosts_are_clean

done_testing
