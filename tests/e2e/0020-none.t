#!/bin/bash
# A plain command on several nodes: environment, placeholders, arguments as they are, outputs, the directory that remains.
. "$(dirname "$0")/lib.sh" || exit 1

cat >plain.yaml <<'J'
name: plain
cluster: {nodes: 2}
run:
  procs_per_node: 2
  env: {GREETING: "good morning $USER", FROM: "rank {rank} of {size}"}
  command: |
    echo "rank=$MUSTER_RANK size=$MUSTER_SIZE node=$MUSTER_NODE nodes=$MUSTER_NODES local=$MUSTER_LOCAL_RANK role=$MUSTER_ROLE"
    echo "r={rank} s={size} n={node} ns={nodes} l={local_rank} role={role} brace={{rank}} json={"a": 1} awk={print $1}"
    echo "$GREETING, $FROM"
    echo "hosts=$MUSTER_HOSTS addr={addr[0]} {addr[1]}"
    echo "to standard error" >&2
    pwd; echo "{out}"
    echo "from rank {rank}" >result-{rank}.txt
outputs: ["result-*.txt"]
J
muster run plain.yaml
status_is "it succeeds" 0
dir=$(run_dir)
is "the outcome is ok" "$(outcome)" ok
like "the id begins with the name" "$(basename "$dir")" "^plain-[0-9]{8}-[0-9]{6}-[0-9a-f]+$"
for rank in 0 1 2 3; do
	text=$(output $rank)
	like "rank $rank: environment" "$text" "rank=$rank size=4 node=$((rank / 2)) nodes=2 local=$((rank % 2)) role=worker"
	like "rank $rank: placeholders, and braces that are none" "$text" \
		"r=$rank s=4 n=$((rank / 2)) ns=2 l=$((rank % 2)) role=worker brace=\{rank\} json=\{\"a\": 1\} awk=\{print \\\$1\}|r=$rank s=4 n=$((rank / 2)) ns=2 l=$((rank % 2)) role=worker brace=\{rank\} json=\{a: 1\} awk=\{print \}"
	like "rank $rank: env is not interpreted, but placeholders in it are" "$text" 'good morning \$USER, rank '"$rank of 4"
	like "rank $rank: knows the addresses" "$text" "addr=127\.[0-9.]+ 127\.[0-9.]+"
	like "rank $rank: standard error is kept too" "$text" "to standard error"
	is "rank $rank: starts in {out}" "$(tail -n 2 <<<"$text" | uniq | wc -l)" 1
	is "rank $rank: its output came back" "$(cat "$dir/outputs/node-$((rank / 2))/result-$rank.txt")" "from rank $rank"
done
ok "metrics.jsonl is there" test -e "$dir/metrics.jsonl"
for file in job.yaml plan.json events.jsonl report.json report.html times.txt; do
	ok "$file is there" test -s "$dir/$file"
done
nok "control.json is gone" test -e "$dir/control.json"
ok "job.yaml is what was given" cmp plain.yaml "$dir/job.yaml"
is "the first event is the run" "$(head -n 1 "$dir/events.jsonl" | json_lines /dev/stdin 'e["type"]')" run
is "the last event is the end" "$(tail -n 1 "$dir/events.jsonl" | json_lines /dev/stdin 'e["type"]')" end
is "the receipt says that nothing is left" "$(events 'e["left"] if e["type"] == "receipt" else None')" "[]"
is "every state in order" "$(events 'e["to"] if e["type"] == "state" else None' | tr '\n' ' ')" "starting running stopping done "
is "exits of all ranks" "$(events 'e["status"] if e["type"] == "exit" else None' | tr '\n' ' ')" "0 0 0 0 "
like "times.txt: one line, name and seconds" "$(cat "$dir/times.txt")" '^[^:]+: [0-9]+(\.[0-9]+)?$'
unlike "the report needs no network" "$(cat "$dir/report.html")" '(src|href)="?https?://'

# Arguments of a list reach the program unchanged.
cat >args.yaml <<'J'
run:
  command: ["/bin/sh", "-c", 'for a; do printf "<%s>\n" "$a"; done', "sh", "a b", "", "$HOME `id` *", "it's \"quoted\"", "two\nlines", "{rank}", "ümläut"]
J
muster run args.yaml
status_is "a list of arguments" 0
is "arguments arrive as they are" "$(output 0)" "<a b>
<>
<\$HOME \`id\` *>
<it's \"quoted\">
<two
lines>
<0>
<ümläut>"

muster run args.yaml --set 'run.command=echo set {rank}' --set cluster.nodes=3 --set run.env.X=1
status_is "--set" 0
is "--set changes the command and the nodes" "$(for r in 0 1 2; do output $r; done)" $'set 0\nset 1\nset 2'
like "what was set is in the plan" "$(json_value "$(run_dir)/plan.json" 'e["ranks"][2]["env"]')" '"X": "1"'

# A rank's standard input is empty, not the terminal's or the caller's.
echo "do not read me" | muster run args.yaml --set 'run.command=cat; echo end'
is "standard input is empty" "$(output 0)" end

# Descriptors and signals of a rank are clean. Signals 32 and 33 are the C library's own; posix_spawn of whoever started us leaves them ignored.
muster run args.yaml --set 'run.command=ls /proc/self/fd | wc -l; grep -E "^Sig(Blk|Ign)" /proc/self/status'
like "no descriptors leak into a rank" "$(output 0 | head -n 1)" '^[4567]$'
like "signals are as a program expects them" "$(output 0)" $'SigBlk:\t0000000000000000\nSigIgn:\t0000000[01][08]0000000'

# A process that outlives its rank is not left.
muster run args.yaml --set 'run.command=setsid sleep 1000 >/dev/null 2>&1 & echo started'
status_is "a rank that leaves a daemon behind" 0
nothing_is_left "the daemon is gone"
done_testing
