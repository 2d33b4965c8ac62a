#!/bin/bash
# Setup commands: on each node or once, in order, before any rank; a failure ends the run.
. "$(dirname "$0")/lib.sh" || exit 1

cat >setup.yaml <<'J'
cluster: {nodes: 3}
setup:
  - echo "first on {node}" >>{data}/log
  - {name: only one, once: true, run: 'echo once on {node}; date +%s%N; echo "once on {node}" >>{data}/log', env: {LANG: C}}
  - {run: ["/bin/sh", "-c", "echo \"third on {node} $WORD\" >>{data}/log"], env: {WORD: hello}}
run: {command: "cat {data}/log"}
J
muster run setup.yaml
status_is "setup of three nodes" 0
is "node 0 did all three" "$(output 0)" $'first on 0\nonce on 0\nthird on 0 hello'
is "node 1 did the two for each" "$(output 1)" $'first on 1\nthird on 1 hello'
is "node 2 did the two for each" "$(output 2)" $'first on 2\nthird on 2 hello'
is "the others wait for what runs once" "$(events '1 if e["type"] == "setup" and e["status"] == 0 else None' | wc -l)" 7
third=$(events 'e["ts"] if e["type"] == "setup" and e["step"] == 2 else None' | sort -g | head -n 1)
once=$(events 'e["ts"] if e["type"] == "setup" and e["step"] == 1 else None')
at_most "no node goes on before it is done: seconds" "$(awk -v a="$once" -v b="$third" 'BEGIN { print a - b }')" 0

cat >bad.yaml <<'J'
cluster: {nodes: 2}
setup:
  - {name: make ready, run: 'if [ {node} = 1 ]; then echo it is broken; exit 9; fi'}
  - touch {data}/never
run: {command: echo started}
J
muster run bad.yaml
status_is "a setup command that fails" 1
like "why: which command, which node, which status" "$(why)" "make ready.*9|9.*make ready"
like "why: the node" "$(why) $err" "node[ -]1"
like "its last lines are kept" "$(events 'e["last"] if e["type"] == "setup" and e["status"] else None')" "it is broken"
is "no rank was started" "$(events 'e["rank"] if e["type"] == "start" else None')" ""

cat >slow.yaml <<'J'
setup: [{name: too slow, run: sleep 1000, timeout: 200ms}]
run: {command: echo started}
J
muster run slow.yaml
status_is "a setup command that takes too long" 1
like "why: time" "$(why)" "too slow.*(time|long|200)"
done_testing
