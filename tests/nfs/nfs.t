#!/bin/bash
# Real NFS 4.1 on hosts of their own kernel: mounted with the options of the cloud's shared file systems, shared, and taken back however the run ends, also
# when the server is there no more.
TESTS=$(cd "$(dirname "$0")" && pwd)
. "$TESTS/../e2e/lib.sh" || exit 1
. "$(dirname "$(realpath "$0")")/guests.sh"
export XDG_STATE_HOME=$SCRATCH/state
guests_start

# --- the server: guest0's kernel -------------------------------------------------------------------

serve() # starts it
{
	ssh guest0 'rpc.nfsd -N 3 4'
}
serve_no_more()
{
	ssh guest0 'rpc.nfsd 0'
}
silence() # nothing that guest0 says arrives any more
{
	ssh guest0 'tc qdisc add dev eth1 root netem loss 100%'
}
silence_no_more()
{
	ssh guest0 'tc qdisc del dev eth1 root'
}
# noresvport wants `insecure`. The first mount is not to wait for clients of before, of which there are none; and no server cuts blocks to less than was
# asked for because it has little memory.
ssh guest0 'set -e
	mkdir -m 1777 /srv/share
	echo "/srv/share 10.9.0.0/24(rw,fsid=0,no_root_squash,no_subtree_check,insecure)" >/etc/exports
	modprobe nfsd
	mount -t nfsd nfsd /proc/fs/nfsd
	echo 1048576 >/proc/fs/nfsd/max_block_size
	echo 10 >/proc/fs/nfsd/nfsv4leasetime
	echo 10 >/proc/fs/nfsd/nfsv4gracetime
	exportfs -ra
	rpc.mountd -N 3' || { echo "Bail out! no NFS server"; exit 1; }
serve
diag "$(ssh guest0 'echo "Linux $(uname -r), nfs-utils $(dpkg-query -W -f "\${Version}" nfs-common)"'), $(qemu-system-x86_64 --version | head -n 1)"

mounted() # HOST: what of NFS
{
	ssh "$1" 'grep " nfs4 " /proc/mounts' || :
}
is_mounted() # HOST
{
	[ -n "$(mounted "$1")" ]
}
unmounted() # HOST: no mount, no directory made for one, no process of ours
{
	[ -z "$(ssh "$1" 'grep " nfs4 " /proc/mounts; ls -A /mnt; grep -lz ^MUSTER_RUN= /proc/[0-9]*/environ 2>/dev/null')" ]
}
untouched() # HOST: nor anything else
{
	unmounted "$1" && [ -z "$(ssh "$1" ls -A /tmp)" ]
}
begun() # what was started; where it has ended before, that is said
{
	wait_for 90 begun_or_gone
	has_line "$(run_dir)/ranks/output-0.txt" '^begun$' || diag "$(cat "$SCRATCH/bg.err")"
}
begun_or_gone()
{
	has_line "$(run_dir)/ranks/output-0.txt" '^begun$' || gone "$started"
}
took() # seconds since then
{
	echo $((SECONDS - since))
}

# --- a job on three nodes ------------------------------------------------------------------------------

# Others' new files are not seen as long as the kernel thinks it knows the directory; to make one tells it better.
cat >job.yaml <<'J'
cluster: {executor: ssh, hosts: [guest0, guest1, twin]}
setup:
  - packages: [nfs-common]
  - mounts:
      - {from: "10.9.0.1:/", to: /mnt/efs/data, options: [nfsvers=4.1, rsize=1048576, wsize=1048576, hard, timeo=600, retrans=2, noresvport]}
run:
  command: |
    grep ' /mnt/efs/data ' /proc/mounts
    echo "rank {rank} was here" >/mnt/efs/data/{rank}
    for r in 0 1 2; do
      until [ -s /mnt/efs/data/$r ]; do touch /mnt/efs/data/look-{rank}; sleep 0.5; done
      cat /mnt/efs/data/$r
    done
    dd if=/dev/zero of=/mnt/efs/data/zeros-{rank} bs=1M count=4 conv=fsync 2>/dev/null && cmp -n 4194304 /mnt/efs/data/zeros-{rank} /dev/zero && echo same
  timeout: 120s
J
muster run job.yaml
status_is "a job on three nodes, two of them on one host" 0
for rank in 0 1 2; do
	mount=$(output $rank | head -n 1)
	like "rank $rank: it is NFS 4.1" "$mount" "^10.9.0.1:/ /mnt/efs/data nfs4 .*,?vers=4.1,"
	for option in rsize=1048576 wsize=1048576 hard timeo=600 retrans=2 noresvport; do
		like "rank $rank: with $option" "$mount" "[ ,]${option}[ ,]"
	done
	is "rank $rank: it reads what all have written" "$(output $rank | tail -n +2)" "rank 0 was here"$'\n'"rank 1 was here"$'\n'"rank 2 was here"$'\n'"same"
done
like "the package was there" "$err" "setup 'packages nfs-common' skipped: all are installed"
is "of two nodes on one host one mounts, the other shares" "$(cat "$(run_dir)"/outputs/node-*/setup.log)" \
	"'/mnt/efs/data' already has 10.9.0.1:/ (nfs4) mounted, by another node of this run"
is "both brought the agent, one is there" "$(ssh guest1 'ls .cache/muster | wc -l')" 1
is "the server has it" "$(ssh guest0 'cat /srv/share/[012]')" "rank 0 was here"$'\n'"rank 1 was here"$'\n'"rank 2 was here"
for host in guest0 guest1; do
	ok "$host: in the end nothing is mounted, and the directories are gone" untouched $host
done

# --- what cannot be mounted ------------------------------------------------------------------------------

cat >wrong.yaml <<'J'
cluster: {executor: ssh, hosts: [guest1]}
setup:
  - {mounts: [{from: "10.9.0.1:/nowhere", to: /mnt/efs/data, options: [nfsvers=4.1, hard]}], timeout: 60s}
run: {command: echo never}
J
muster run wrong.yaml
status_is "a wrong export" 1
like "names the host, and mount's own last words" "$(why)" "on node 0 \(guest1\) ended with status 32: mount.nfs4: .*10.9.0.1:/nowhere.* No such file or directory"
ok "and leaves nothing" untouched guest1

# Nobody answers: mount.nfs tries for two minutes and more.
since=$SECONDS
muster run wrong.yaml --set 'setup[0].mounts[0].from=10.9.0.77:/' --set 'setup[0].timeout=4s'
status_is "a server that is not there" 1
like "ends with the step's timeout" "$(why)" "on node 0 \(guest1\) took longer than its timeout"
at_most "soon" "$(took)" 45
ok "and leaves nothing" wait_for 10 untouched guest1

# --- runs that end before their time ---------------------------------------------------------------------

# Its file stays open, with what was written still to be sent to the server.
cat >long.yaml <<'J'
cluster: {executor: ssh, hosts: [guest1], lease: 10s}
setup:
  - mounts:
      - {from: "10.9.0.1:/", to: /mnt/efs/data, options: [nfsvers=4.1, rsize=1048576, wsize=1048576, hard, timeo=600, retrans=2, noresvport]}
run:
  grace: 2s
  command: |
    exec 3>/mnt/efs/data/open-$(id -u)
    echo begun
    until [ -e {out}/go ]; do sleep 0.2; done
    rm {out}/go
    echo dirty >&3
    exec sleep 3000
J
go() # the rank writes, which is its last step
{
	ssh guest1 'touch "$(echo /tmp/muster-*/*/node-0/out)/go"'
	wait_for 30 ssh guest1 '[ -z "$(ls /tmp/muster-*/*/node-0/out)" ]'
}
start run long.yaml
begun
ok "a run that is cancelled: mounted before" is_mounted guest1
muster cancel
start_finished 60
is "it is cancelled" "$(outcome)" cancelled
ok "and nothing is left" untouched guest1

start run long.yaml
begun
crashed=$(basename "$(run_dir)")
kill -9 "$(controller_pid)"
start_finished 20
ok "the controller is killed: it is still mounted" is_mounted guest1
muster reap "$crashed"
status_is "reap removes what is left" 0
ok "all of it" untouched guest1

# --- the server goes away ----------------------------------------------------------------------------------

start run long.yaml --set cluster.hosts=[admin@guest1]
begun
like "by sudo, for a user who is not root" "$(mounted guest1)" "/mnt/efs/data nfs4 .*vers=4.1"
serve_no_more
since=$SECONDS
muster cancel
start_finished 100
is "the server is stopped under a file that is open: it is cancelled all the same" "$(outcome)" cancelled
at_most "within a minute" "$(took)" 60
ok "and nothing is left" wait_for 10 untouched guest1
serve

start run long.yaml --set cluster.hosts=[admin@guest1]
begun
silence
go
since=$SECONDS
muster cancel
start_finished 100
is "the server says nothing more, and a rank waits for it: it is cancelled all the same" "$(outcome)" cancelled
at_most "within a minute" "$(took)" 60
is "the receipt says that nothing is left" "$(events 'len(e["left"]) if e["type"] == "receipt" else None')" 0
ok "nothing is left" wait_for 10 untouched guest1
silence_no_more

start run long.yaml
begun
crashed=$(basename "$(run_dir)")
silence
go
kill -9 "$(controller_pid)"
start_finished 20
since=$SECONDS
muster reap "$crashed"
status_is "the same, and the controller is killed: reap" 0
at_most "within a minute" "$(took)" 60
ok "nothing is left" wait_for 10 untouched guest1
silence_no_more

start run long.yaml
begun
silence
go
kill -9 "$(controller_pid)"
start_finished 20
ok "the same, and nobody comes: the agent takes it back when its lease is over" wait_for 90 unmounted guest1
muster reap
silence_no_more

muster run "$TESTS/../../examples/nfs.yaml" --set 'cluster.hosts=[guest1,guest0]' --set 'setup[1].mounts[0].from=10.9.0.1:/'
status_is "the server is back: examples/nfs.yaml" 0
is "what it wrote there" "$(ssh guest0 'cat /srv/share/hello-?.txt')" "hello from rank 0 of 2 on guest1"$'\n'"hello from rank 1 of 2 on guest0"
done_testing
