#!/bin/bash
# Inputs that the controller sends, because its files are not seen on the nodes: they arrive as they are, what goes wrong is named.
. "$(dirname "$0")/lib.sh" || exit 1

# An agent that takes the nodes for those of another machine.
cat >"$SCRATCH/far-agent" <<J
#!/usr/bin/python3
import json, os, sys
lines = [json.loads(line) for line in sys.stdin]
assert all(line.pop("same_files") for line in lines)
if os.environ.get("FAR_ALONE"):
    for line in lines: del line["shared"]
fd = os.memfd_create("config")
os.write(fd, "".join(json.dumps(line) + "\n" for line in lines).encode())
os.lseek(fd, 0, 0)
os.dup2(fd, 0)
os.execv("$(dirname "$MUSTER")/muster-agent", ["muster-agent"])
J
chmod 755 "$SCRATCH/far-agent"
export MUSTER_AGENT=$SCRATCH/far-agent

mkdir -p tree/sub/empty tree/"$(printf 'n%.0s' {1..120})"/"$(printf 'm%.0s' {1..120})"
echo "one" >tree/a.txt
: >tree/nothing
head -c 100000 /dev/urandom >tree/sub/b.bin
printf '#!/bin/sh\necho ran\n' >tree/run.sh && chmod 755 tree/run.sh
echo "private" >tree/private && chmod 600 tree/private
(cd tree/nnn*/m* && echo "deep" >deep)
echo "odd" >"tree/blank and
newline"
echo "latin" >"tree/$(printf 'caf\351')"
echo "utf-8" >"tree/$(printf 'caf\303\251')"
ln -s a.txt tree/link
ln -s /nowhere/at/all tree/dangling
ln -s ../../outside tree/sub/up
for i in $(seq 300); do echo "$i" >"tree/sub/many-$i"; done
head -c 30M /dev/urandom >big.bin
tar -czf tree.tar.gz -C tree a.txt run.sh
echo 'import sys; print("trained with", sys.argv[1])' >train.py

listing() # DIR: all that there is, byte for byte
{
	(cd "$1" && find . ! -type d -printf '%P %y %#m %l\n' | LC_ALL=C sort && find . -type d -printf '%P\n' | LC_ALL=C sort &&
		find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum
}

job kinds.yaml <<J
name: kinds
cluster: {nodes: 2}
inputs:
  - big.bin
  - {from: tree}
  - {from: tree/private, path: deep/er/renamed}
  - {from: tree.tar.gz, unpack: true, path: unpacked, sha256: $(sha256sum tree.tar.gz | cut -c 1-64)}
  - {from: tree/sub, path: shared/one, once: true}
  - {from: ., path: all}
  - train.py
run:
  command: |
    cd {data}
    $(declare -f listing | sed 's/^/    /; 1s/^ *//')
    listing tree; sha256sum <big.bin; stat -c %a deep/er/renamed tree/run.sh; unpacked/run.sh; listing shared/one/
    ls all; python3 train.py {rank}
J
ok "runs are below the directory that is sent whole" mkdir runs
MUSTER_RUNS=$PWD/runs
muster run kinds.yaml
status_is "all kinds" 0
expected=$(listing tree; sha256sum <big.bin; printf '600\n755\nran\n'; listing tree/sub; ls)
is "node 0 has what is here" "$(output 0)" "$expected"$'\n'"trained with 0"
is "node 1 has what is here" "$(output 1)" "$expected"$'\n'"trained with 1"
is "all were sent, one of them once" "$(events '1 if e["type"] == "input" and e.get("ok") and e["sent"] else None' | wc -l)" 13
is "the sum is that of the file" "$(events 'e["sha256"] if e["type"] == "input" and e["name"] == "big.bin" and e.get("ok") else None' | sort -u)" \
	"$(sha256sum big.bin | cut -c 1-64)"

# Nodes that share no directory.
job once.yaml <<'J'
cluster: {nodes: 2}
inputs: [{from: train.py, once: true}]
run: {command: "test -f {data}/train.py && test ! -L {data}/train.py"}
J
FAR_ALONE=1 muster run once.yaml
status_is "once, but nothing is shared: each has its own" 0
is "and the run says so, once" "$(events 'e["why"] if e["type"] == "warn" else None' | grep -c "train.py.*share")" 1

fails() # NAME WHY < JOB
{
	job bad.yaml
	muster run bad.yaml
	status_is "$1" 1
	like "$1: says why" "$(why)" "$2"
	event_seen start && fail "$1: nothing was started"
}

job bad.yaml <<'J'
cluster: {nodes: 2}
inputs: [nowhere]
run: {command: "true"}
J
muster run bad.yaml
status_is "not there: no node is made" 2
like "not there: says why" "$err" "nowhere.*No such file"
mkdir special && mkfifo special/pipe
fails "a pipe in a directory" "special/pipe' is neither" <<'J'
cluster: {nodes: 2}
inputs: [special]
run: {command: "true"}
J
fails "a wrong sum" "sha256 is .* expected 00" <<'J'
cluster: {nodes: 2}
inputs: [{from: train.py, sha256: "0000000000000000000000000000000000000000000000000000000000000000"}]
run: {command: "true"}
J
fails "a directory to unpack" "only an archive" <<'J'
cluster: {nodes: 2}
inputs: [{from: tree, unpack: true}]
run: {command: "true"}
J

# The file changes while it is sent: it is so big that it is seen on its way.
grow() # COMMAND...: does that once some of slow.bin has arrived on node 0
{
	truncate -s 1G slow.bin
	start run slow.yaml
	wait_for 30 eval 'test -n "$(find "$MUSTER_NODES_DIR" -name .muster-input -size +1M)"'
	"$@"
	start_finished 60
}
job slow.yaml <<'J'
cluster: {nodes: 2}
inputs: [{from: slow.bin}]
run: {command: "true"}
J
grow touch slow.bin
status_is "a file that changes" 1
like "is named" "$(why)" "slow\.bin' has changed while it was sent"
grow truncate -s 1M slow.bin
status_is "a file that becomes shorter" 1
like "is named too" "$(why)" "slow\.bin' has (changed|become shorter) while it was sent"
interrupt() { kill -INT "$started"; }
grow interrupt
status_is "interrupted on the way" 130
rm -f slow.bin

# The lines are broken while it comes: it goes on from where it was.
job broken.yaml <<'J'
cluster: {nodes: 2}
inputs: [far.bin, {from: far, path: in/far}]
run: {command: "cat {data}/far.bin {data}/in/far/* | sha256sum"}
J
mkdir far && head -c 100M /dev/urandom >far.bin && cp far.bin far/one && cp far.bin far/two
start run broken.yaml
line=$(grep -oE '127\.0\.0\.1:[0-9]+' "$(run_dir)/control.json")
times_back() { events '1 if e["type"] == "back" else None' | wc -l; }
break_lines() # SO-OFTEN: true when a node has come back once more
{
	ss -K dst 127.0.0.1 dport = "${line#*:}" >/dev/null 2>&1
	wait_for 1 eval '[ "$(times_back)" -gt '"$1"' ]'
}
for input in far.bin far; do
	wait_for 30 eval 'test -n "$(find "$MUSTER_NODES_DIR" -path "*.muster-input*" -type f -size +1M)"'
	wait_for 5 break_lines "$(times_back)"
	wait_for 30 eval '[ -n "$(events "1 if e[\"type\"] == \"input\" and e.get(\"ok\") and e[\"name\"] == \"'$input'\" else None")" ]'
done
start_finished 60
status_is "broken lines" 0
nok "they were broken" [ -z "$(events '1 if e["type"] == "back" else None')" ]
is "nothing is lost and nothing doubled" "$(output 0) $(output 1)" "$(cat far.bin far/* | sha256sum) $(cat far.bin far/* | sha256sum)"

done_testing
