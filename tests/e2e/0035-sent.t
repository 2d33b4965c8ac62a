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
if os.environ.get("RELAY"):
    for node, line in enumerate(lines):
        target, port = line["url"].split(":")[2].split("/")[0], open(f"{os.environ['RELAY']}/port-{node}").read()
        open(f"{os.environ['RELAY']}/target", "w").write(target)
        line["url"] = line["url"].replace(":" + target, ":" + port)
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

# A relay between agents and controller, which acts on each connection once it has passed 20 MiB on to the agent, however fast that is: it
# waits for a file "go" (hold), or it resets the connection (cut), the first 5 connections of each node.
cat >"$SCRATCH/relay" <<'P'
import os, socket, struct, sys, threading, time
mode, folder = sys.argv[1:]
def reset(*ends):
    for end in ends:
        try:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        end.close()
def act(connection):
    if mode == "hold":
        open(folder + "/held", "w").close()
        while not os.path.exists(folder + "/go"):
            time.sleep(0.02)
    elif connection < 5:
        raise ConnectionError
def pump(source, to, connection):
    passed = 0
    try:
        while data := source.recv(65536):
            to.sendall(data)
            if connection is not None and passed < 20 << 20 <= passed + len(data):
                act(connection)
            passed += len(data)
    except OSError:
        pass
    reset(source, to)
def serve(listener):
    connection = 0
    while True:
        agent = listener.accept()[0]
        try:
            controller = socket.create_connection(("127.0.0.1", int(open(folder + "/target").read())))
        except OSError:
            reset(agent)
            continue
        threading.Thread(target=pump, args=(agent, controller, None), daemon=True).start()
        threading.Thread(target=pump, args=(controller, agent, connection), daemon=True).start()
        connection += 1
for node in range(2):
    listener = socket.create_server(("127.0.0.1", 0))
    open(f"{folder}/port-{node}", "w").write(str(listener.getsockname()[1]))
    threading.Thread(target=serve, args=(listener,)).start()
open(folder + "/ready", "w").close()
P
relay_start() # hold|cut
{
	export RELAY=$SCRATCH/relay-files
	rm -rf "$RELAY"
	mkdir "$RELAY"
	/usr/bin/python3 "$SCRATCH/relay" "$1" "$RELAY" &
	relay=$!
	wait_for 20 test -e "$RELAY/ready"
}
relay_stop()
{
	kill "$relay"
	wait "$relay" 2>/dev/null
	unset RELAY
}

# The file changes while it is sent.
grow() # COMMAND...: does that when node 0 has a part of slow.bin
{
	relay_start hold
	truncate -s 100M slow.bin
	start run slow.yaml
	wait_for 30 test -e "$RELAY/held"
	"$@"
	touch "$RELAY/go"
	start_finished 60
	relay_stop
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
like "is named too" "$(why)" "slow\.bin' (has changed|was truncated) while it was sent"
interrupt() { kill -INT "$started"; }
grow interrupt
status_is "interrupted on the way" 130
rm -f slow.bin

# The lines are broken while it comes: it goes on from where it was. Of 110 MiB each node gets 60 to 100 over connections that are cut, so both
# inputs are cut on their way.
job broken.yaml <<'J'
cluster: {nodes: 2}
inputs: [far.bin, {from: far, path: in/far}]
run: {command: "cat {data}/far.bin {data}/in/far/* | sha256sum"}
J
mkdir far && head -c 50M /dev/urandom >far.bin && head -c 30M far.bin >far/one && tail -c 30M far.bin >far/two
relay_start cut
start run broken.yaml
start_finished 90
relay_stop
status_is "broken lines" 0
for node in 0 1; do
	ok "they were broken: node $node came back" test "$(events "1 if e['type'] == 'back' and e['node'] == $node else None" | wc -l)" -ge 5
done
is "nothing is lost and nothing doubled" "$(output 0) $(output 1)" "$(cat far.bin far/* | sha256sum) $(cat far.bin far/* | sha256sum)"

done_testing
