#!/bin/bash
# Outputs come back byte for byte, from every node, also when a rank failed; nothing comes from outside of {out}.
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
like "a glob that matches nothing is told" "$(cat "$dir/events.jsonl")" "nothing-matches"

muster run outputs.yaml --set 'run.command=echo kept >kept.txt; if [ {rank} = 1 ]; then exit 3; fi'
status_is "a failing job" 1
is "outputs of a failing job are kept" "$(cat "$(run_dir)/outputs/node-1/kept.txt")" kept
done_testing
