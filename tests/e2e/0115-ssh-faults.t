#!/bin/bash
# Hosts as they are found: behind others, by connections that are shared, a user who is not root, login shells that speak or are no POSIX shells,
# sudo that refuses, a home that cannot be written, is full or may run nothing.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/hosts.sh"
hosts_start 2
host=$FARM/h1

# Users of h1 alone, in its mount name space: files of this test's over those of the machine.
mkdir -p "$host"/{home,tmp,vartmp,shm,sudoers}
chmod 1777 "$host"/{tmp,vartmp,shm}
cp /etc/passwd /etc/shadow "$host"
id=42000
for line in plain:/bin/sh noisy:$host/noisy csh:/usr/bin/tcsh fish:/usr/bin/fish python:/usr/bin/python3 nologin:/usr/sbin/nologin; do
	name=${line%%:*} id=$((id + 1))
	echo "$name:x:$id:$id::$host/home/$name:${line#*:}" >>"$host/passwd"
	echo "$name:*:19000::::::" >>"$host/shadow"
	mkdir "$host/home/$name" && chown "$id:$id" "$host/home/$name"
done
cat >"$host/noisy" <<-'S'
	#!/bin/sh
	printf 'Welcome!\n muster-bridge is not said here\nno end of line'
	echo 'You have mail.' >&2
	exec /bin/sh "$@"
S
chmod 755 "$host/noisy"
# Where a user's things go when nothing is said.
sed -i "s|^SetEnv .*|SetEnv TMPDIR=$host/tmp MUSTER_E2E=$SCRATCH|" "$host/sshd"
users='for f in passwd shadow; do mount --bind $f /etc/$f; done; mount --bind sudoers /etc/sudoers.d; mount --bind vartmp /var/tmp; mount --bind shm /dev/shm'
host_prepare 1 <<<"$users"

cat >hello.yaml <<'J'
cluster: {executor: ssh, hosts: [h0, plain@h1]}
run: {command: 'echo "$(id -u) says  a  \"c\" \$d"; umask'}
J
h1_is_clean() { [ -z "$(find "$host/tmp" -mindepth 1)" ] && hosts_are_clean; }
agents_at() { find "$host" -name 'agent-*' -path "*$1*" | wc -l; }

# A host that is there and does not answer.
echo 'deadline: 2s' >site.yaml
kill -STOP "$(cat "$host/pid")"
muster run hello.yaml --site site.yaml
is "a host that does not answer" "$status" 3
like "is named" "$(why)" "1 of 2 nodes did not say hello within 2 s; the first is node 1 on host h1"
kill -CONT "$(cat "$host/pid")"
ok "the other one is clean" wait_for 5 h1_is_clean

# The user's configuration is in force: a host behind another one, connections that are shared and stay.
printf 'Host behind\n    HostName %s\n    Port 2222\n    ProxyJump h0\n    HostKeyAlias [%s]:2222\n' "$(host_address 1)" "$(host_address 1)" >>"$FARM/config"
before=$(grep -c "Accepted publickey" "$FARM/h0/log")
muster run hello.yaml --set 'cluster.hosts=[plain@behind]'
is "a host behind another" "$status $(output 0 | head -c 5)" "0 42001"
is "is reached through that one" "$(grep -c "Accepted publickey" "$FARM/h0/log")" $((before + 1))
printf 'Host *\n    ControlMaster auto\n    ControlPath %s/master-%%C\n    ControlPersist 60\n' "$FARM" >>"$FARM/config"
for i in 1 2; do
	muster run hello.yaml
	is "run $i by a connection that is shared" "$status $(output 1 | head -c 5)" "0 42001"
done
ok "which is there" test -n "$(ls "$FARM"/master-*)"
start run hello.yaml --set 'run.command=sleep 1000'
wait_for 20 event_seen start
ssh -O exit h0 2>/dev/null
ssh -O exit plain@h1 2>/dev/null
"$MUSTER" cancel latest >/dev/null
start_finished 30
is "it ends in the middle of a run, which is cancelled later" "$status" 130
ok "nothing is left on the hosts" wait_for 5 h1_is_clean
for user in h0 plain@h1; do ssh -O exit $user 2>/dev/null; done
sed -i '/^    Control/d' "$FARM/config"

for name in plain noisy csh fish; do
	muster run hello.yaml --set "cluster.hosts=[h0, $name@h1]"
	is "a user whose login shell is $(grep "^$name:" "$host/passwd" | cut -d: -f7 | xargs basename)" "$status $(output 1)" \
		"0 $(grep "^$name:" "$host/passwd" | cut -d: -f3) says  a  \"c\" \$d"$'\n0022'
	is "the agent is in the user's home" "$(agents_at "home/$name/.cache/muster")" 1
done
ok "nothing else is left" wait_for 5 h1_is_clean
muster run hello.yaml --set 'cluster.hosts=[h0, python@h1]'
is "a login shell that runs no commands" "$status" 3
like "is named, with its words" "$(why)" "node 1 on host 'python@h1': .*SyntaxError"
muster run hello.yaml --set 'cluster.hosts=[h0, nologin@h1]'
is "a user who may not log in" "$status" 3
like "likewise" "$(why)" "node 1 on host 'nologin@h1': .*account is currently not available"
ok "the other host is clean" wait_for 5 h1_is_clean

cat >root.yaml <<'J'
cluster: {executor: ssh, hosts: [h0, plain@h1]}
setup: [{name: as root, become: true, run: "id -u; echo made >{data}/made"}]
run: {command: 'cat {data}/made; stat -c %u {data}/made'}
J
muster run root.yaml
is "sudo refuses" "$status" 1
like "which is said with the step, the host, and sudo's words" "$(why)" "'as root'. on node 1 \(h1\) needs root, and sudo ended with status 1: sudo: a password is required"
ok "nothing is left" wait_for 5 h1_is_clean
echo 'plain ALL=(ALL) NOPASSWD: ALL' >"$host/sudoers/muster"
chmod 440 "$host/sudoers/muster"
muster run root.yaml
is "sudo that does not" "$status $(output 1 | tr '\n' ' ')" "0 made 0 "
ok "what root made is gone too" wait_for 5 h1_is_clean

home() # NAME WHERE: a run, and where its agent lay
{
	muster run hello.yaml
	is "a home that is $1: the agent finds another place" "$status $(agents_at "$2")" "0 1"
	rm -rf "$host/$2"/muster-agent-*
	ok "a home that is $1: nothing else is left" wait_for 5 h1_is_clean
}
rm -rf "$host/home/plain/.cache"
host_prepare 1 <<<"$users; mount --bind home/plain home/plain; mount -o remount,bind,ro home/plain"
home "read-only" vartmp
host_prepare 1 <<<"$users; mount -t tmpfs -o noexec,uid=42001 tmpfs home/plain"
home "on a disk that nothing is run from" vartmp
host_prepare 1 <<<"$users; mount -t tmpfs -o size=1m,uid=42001 tmpfs home/plain"
home "full" vartmp
host_prepare 1 <<<"$users; mount -t tmpfs -o size=1m,uid=42001 tmpfs home/plain; mount -o remount,bind,ro /var/tmp; mount --bind /tmp /tmp
mount -o remount,bind,noexec /tmp"
home "full beside others that are of no use" shm
host_prepare 1 <<<"$users; for d in home/plain /var/tmp /dev/shm; do mount -t tmpfs -o size=1m,mode=1777 tmpfs \$d; done; mount --bind /tmp /tmp
mount -o remount,bind,noexec /tmp"
muster run hello.yaml
is "no place for the agent at all" "$status" 3
like "is said with all that were tried" "$(why)" "node 1 on host 'plain@h1': no directory for the agent that is writable, has space and allows execution from: tried $host/home/plain/.cache/muster .*/dev/shm"
ok "nothing is left there" wait_for 5 h1_is_clean
ok "and no directory of those that would not do" test ! -e /tmp/muster-agent-42001
done_testing
