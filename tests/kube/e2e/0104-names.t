#!/bin/bash
# Whatever a job is called and says arrives as it is: quotes, blanks, newlines and $ in arguments and environment, long names, roles with
# images, limits and numbers of their own; two runs beside each other.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools
mkdir -p root/bin && cp /bin/busybox root/bin/sh
ok "another image" kube_import localhost/other:1 root 'ENV WHICH=the other one'

cat >quotes.c <<'C'
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		printf("[%s]\n", argv[i]);
	printf("(%s)(%s)(%s)\n", getenv("QUOTES"), getenv("LINES_"), getenv("DOLLAR"));
	return 0;
}
C
ok "a program" gcc -static -w -o quotes quotes.c
cat >quotes.yaml <<'J'
name: quotes
cluster: {executor: kubernetes, nodes: 1, image: "localhost/other:1"}
inputs: [{from: quotes}]
run:
  command: ["{data}/quotes", "two words", "it's \"quoted\"", "", "$HOME $(id) `id` ${X}", "a\nb\tc", "back\\slash", "*", "--", "ä€😀", "$(VAR)", "$$(VAR)", "%s;&|<>#"]
  env: {QUOTES: "it's \"quoted\" \\", LINES_: "one\ntwo\n", DOLLAR: "$HOME $(VAR) $$(VAR) $$", VAR: wrong}
J
muster run quotes.yaml
status_is "arguments with everything in them" 0
is "arrive unchanged" "$(output 0)" "[two words]
[it's \"quoted\"]
[]
[\$HOME \$(id) \`id\` \${X}]
[a
b	c]
[back\\slash]
[*]
[--]
[ä€😀]
[\$(VAR)]
[\$\$(VAR)]
[%s;&|<>#]
(it's \"quoted\" \\)(one
two
)(\$HOME \$(VAR) \$\$(VAR) \$\$)"

cat >long.yaml <<'J'
name: a-name-that-is-as-long-as-it-is-allowed0
cluster:
  executor: kubernetes
  image: "localhost/tools:1"
  roles:
    a-role-with-a-name-that-goes-on-and-on-until-the-end-of-it: 2
    worker: {nodes: 1, image: "localhost/other:1", memory: 64Mi, cpus: 100m}
run: {command: 'echo "{role} {index} ${WHICH:-tools}"'}
J
muster run long.yaml
status_is "long names, and roles with images of their own" 0
is "each is what it is" "$(cat "$(run_dir)"/ranks/output-*.txt)" "a-role-with-a-name-that-goes-on-and-on-until-the-end-of-it 0 tools
a-role-with-a-name-that-goes-on-and-on-until-the-end-of-it 1 tools
worker 0 the other one"
kube_empty "nothing is left"

cat >wait.yaml <<J
name: wait
cluster: {executor: kubernetes, nodes: 2, image: "localhost/tools:1"}
inputs: [{from: word}]
run: {command: 'cat {data}/word; until [ -e {data}/go ]; do sleep 0.1; done'}
J
echo first >word
"$MUSTER" run --detach wait.yaml >/dev/null 2>&1
first=$(run_dir)
echo second >word.2
"$MUSTER" run --detach wait.yaml --set 'inputs=[{from: word.2, path: word}]' >/dev/null 2>&1
second=$(run_dir)
ended() { event_seen end "$1"; }
both_run() { [ "$(cat "$first"/ranks/output-*.txt "$second"/ranks/output-*.txt 2>/dev/null | sort | tr '\n' ' ')" = "first first second second " ]; }
ok "two runs are there at once" wait_for 60 both_run
is "with Jobs of their own" "$(kubectl get jobs -o 'jsonpath={range .items[*]}{.metadata.labels.muster\.run}{"\n"}{end}' | sort)" \
	"$(printf '%s\n' "$(basename "$first")" "$(basename "$second")" | sort)"
"$MUSTER" cancel "$(basename "$first")" >/dev/null
ok "one is cancelled" wait_for 60 ended "$first"
is "the other one's pods are there" "$(kubectl get pods -l "muster.run=$(basename "$second")" --field-selector status.phase=Running -o name | wc -l)" 2
for node in 0 1; do
	"$MUSTER" exec "$(basename "$second")" --node $node -- sh -c 'touch "$MUSTER_DATA/go"' || fail "exec in it"
done
ok "and goes on to its end" wait_for 60 ended "$second"
is "which is good" "$(outcome "$second")" ok
kube_done_testing
