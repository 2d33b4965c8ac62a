#!/bin/bash
# Outputs come back byte for byte, from every node, also when a rank failed, however many there are and whatever they are called;
# nothing comes from outside of {out}. What cannot be brought back: 0048-lost-outputs.t.
. "$(dirname "$0")/lib.sh" || exit 1

cat >outputs.yaml <<'J'
cluster: {nodes: 2}
run:
  command: |
    mkdir -p deep/er models; head -c 5000000 /dev/urandom >deep/er/big.bin; sha256sum <deep/er/big.bin >sum
    echo m >models/m-{rank}.pt; echo no >not-wanted.log; : >empty.txt; chmod 755 sum
    ln -s /etc/passwd link.txt; ln -s deep/er/big.bin inner.txt
    printf 'x' >"a name with 'quotes' and $dollar.txt"
outputs: ["**/*.bin", "sum", "models/*", "*.txt", "nothing-matches-*"]
J
muster run outputs.yaml
status_is "outputs" 0
dir=$(run_dir)
for node in 0 1; do
	there=$dir/outputs/node-$node
	is "node $node: the big file is the same" "$(sha256sum <"$there/deep/er/big.bin")" "$(cat "$there/sum")"
	ok "node $node: an empty file" test -f "$there/empty.txt"
	ok "node $node: a model" test -s "$there/models/m-$node.pt"
	ok "node $node: a name with blanks and quotes" test -s "$there/a name with 'quotes' and .txt" -o -s "$there/a name with 'quotes' and \$dollar.txt"
	nok "node $node: what was not asked for stays" test -e "$there/not-wanted.log"
	nok "node $node: no link leads out" grep -q root: "$there/link.txt"
done
is "a link to what comes back is a link" "$(readlink "$dir/outputs/node-0/inner.txt")" deep/er/big.bin
like "a link that leads out is told" "$(cat "$dir/events.jsonl")" "the output 'link.txt' is left out: it is a symbolic link that leads out"
like "a glob that matches nothing is told" "$(cat "$dir/events.jsonl")" "nothing-matches"

muster run outputs.yaml --set 'run.command=echo kept >kept.txt; if [ {rank} = 1 ]; then exit 3; fi'
status_is "a failing job" 1
is "outputs of a failing job are kept" "$(cat "$(run_dir)/outputs/node-1/kept.txt")" kept

# --- any name, any depth, links ---------------------------------------------------

cat >names.py <<'P'
import os
os.mkdir(b"ckpt")
open(b"ckpt/epoch=3", "w").write("w")
os.symlink("epoch=3", "ckpt/last")
os.symlink("ckpt", "latest")
os.symlink(os.path.realpath("ckpt/epoch=3"), "absolute")
for name in b"caf\xe9.txt", b"two\nlines", b"back\\slash", b"\\x41", b"\xff\xfe", "\u00e9\u6f22.txt".encode(), b"-", b"n" * 255:
    open(name, "wb").write(name)
at = os.open(".", os.O_RDONLY)
for level in range(200): # a path of 20 KB, which no system call takes at once
    os.mkdir("d" * 100, dir_fd=at)
    at = os.open("d" * 100, os.O_RDONLY, dir_fd=at)
os.write(os.open("deep", os.O_WRONLY | os.O_CREAT, dir_fd=at), b"deep down")
open("setup.log", "w").write("the job's own")
P
cat >check.py <<'P'
import os, sys
os.chdir(sys.argv[1])
for name in b"caf\xe9.txt", b"two\nlines", b"back\\slash", b"\\x41", b"\xff\xfe", "\u00e9\u6f22.txt".encode(), b"-", b"n" * 255:
    assert open(name, "rb").read() == name, name
at = os.open(".", os.O_RDONLY)
for level in range(200):
    at = os.open("d" * 100, os.O_RDONLY, dir_fd=at)
assert os.read(os.open("deep", os.O_RDONLY, dir_fd=at), 100) == b"deep down"
assert os.readlink("ckpt/last") == "epoch=3" and os.readlink("latest") == "ckpt" and os.readlink("absolute") == "ckpt/epoch=3"
print("all there")
P
cat >names.yaml <<'J'
inputs: [names.py]
setup: [echo said by setup]
run: {command: "python3 {data}/names.py"}
outputs: ["**"]
J
muster run names.yaml
status_is "files of any name" 0
is "come back as they were" "$(python3 check.py "$(run_dir)/outputs/node-0" 2>&1)" "all there"
is "the log of the setup has another name then" "$(cat "$(run_dir)/outputs/node-0/setup.log" "$(run_dir)/outputs/node-0/muster-setup.log")" "the job's ownsaid by setup"
is "events name them" "$(events 'e["type"] == "output" and "caf" in e["path"] and e["path"]')" 'caf\xe9.txt'
is "so does the report" "$(json_value "$(run_dir)/report.json" '[o["path"] for o in e["outputs"] if "lines" in o["path"]][0]')" 'two\x0alines'

muster run names.yaml --set 'outputs=[ckpt/, latest, "*.{txt,png}"]'
status_is "directories and alternatives" 0
is "a directory means all of it" "$(cd "$(run_dir)/outputs/node-0" && find ckpt latest ./*.txt | LC_ALL=C sort | tr '\n' ' ')" \
	$'./caf\351.txt ./\303\251\346\274\242.txt ckpt ckpt/epoch=3 ckpt/last latest '
muster run names.yaml --set 'outputs=[ckpt/last, latest/e*]'
is "a link comes as what it leads to if that does not come" "$(cd "$(run_dir)/outputs/node-0" && cat ckpt/last latest/epoch=3)" ww

# --- many of them, and patterns that are hard -------------------------------------

# In memory where there is room: a disk takes a minute to make and remove so many.
[ "$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 2000000 ] && many=$(mktemp -d /dev/shm/muster-outputs.XXXXXX) || many=$SCRATCH
[ "$many" = "$SCRATCH" ] || CLEANUP="$CLEANUP rm -rf $many;"
before_runs=$MUSTER_RUNS before_nodes=$MUSTER_NODES_DIR
export MUSTER_RUNS=$many/runs MUSTER_NODES_DIR=$many/nodes
cat >many.yaml <<'J'
run: {command: "seq 0 100000 | split -l 1 -a 6 -d - f"}
outputs: ["f*"]
J
start run many.yaml
wait_for 20 test -s "$MUSTER_NODES_DIR/$(basename "$(run_dir)")/node-0/agent.json"
agent=$(agent_pid 0) controller=$(controller_pid) agent_peak=0 controller_peak=0
until gone "$controller"; do
	collecting=$(grep -c '"phase".*"collect"' "$(run_dir)/events.jsonl")
	now=$(peak_memory "$agent")
	agent_peak=${now:-$agent_peak}
	[ "$collecting" -gt 3 ] || now=$(peak_memory "$controller") # later it writes the report
	[ "$collecting" -gt 3 ] || controller_peak=${now:-$controller_peak}
	sleep 0.05 # between two looks at a process
done
start_finished 100
status_is "100,001 files" 0
is "come back, each as it was" "$(python3 -c '
import os, sys
names = os.listdir(sys.argv[1])
print(len(names), all(int(open(os.path.join(sys.argv[1], n)).read()) == int(n[1:]) for n in names))' "$(run_dir)/outputs/node-0")" "100001 True"
is "the report counts them" "$(json_value "$(run_dir)/report.json" 'e["outputs_total"]["files"]')" 100001
at_most "memory of the agent, in KiB" "$agent_peak" 20000
at_most "memory of the controller, in KiB" "$controller_peak" 30000
muster run many.yaml --set 'run.command=mkdir -p a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a && touch a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/x' \
	--set 'outputs=["**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/y", "**/x"]'
is "ten ** are no work" "$(find "$(run_dir)/outputs" -name x | wc -l)" 1
at_most "seconds for it" "$(events 'e["type"] == "phase" and e["name"] == "collect" and e["edge"] == "end" and "node" in e and e["seconds"]')" 4
nothing_is_left "nothing of them is left"
export MUSTER_RUNS=$before_runs MUSTER_NODES_DIR=$before_nodes
rm -rf "$many/runs"
done_testing
