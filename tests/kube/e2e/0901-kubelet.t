#!/bin/bash
# A kubelet that ends and comes back, and a cable that is pulled for a while: the run goes on, and no byte of its output is missing.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools

cat >count.yaml <<'J'
name: count
cluster: {executor: kubernetes, nodes: 2, image: "localhost/tools:1", kubernetes: {node_selector: {node: "2"}}}
run:
  command: |
    i=0
    until [ -e {data}/enough ]; do i=$((i + 1)); echo "line $i of rank {rank}"; [ $((i % 100)) != 0 ] || sleep 0.02; done
    echo "lines: $i"
J
counting() { has_line "$(run_dir)/ranks/output-0.txt" "^line $1 " && has_line "$(run_dir)/ranks/output-1.txt" "^line $1 "; }
complete() # NAME
{
	local rank lines
	for rank in 0 1; do
		lines=$(output $rank | sed -n '$s/^lines: //p')
		if [ -n "$lines" ] && cmp -s <(seq -f "line %.0f of rank $rank" "$lines"; echo "lines: $lines") <(output $rank); then
			pass "$1: rank $rank: all of its $lines lines, once and in order"
		else
			fail "$1: rank $rank: its output" "$(output $rank | tail -n 3)"
		fi
	done
}
lines_of() { output "$1" | wc -l; }
more_than() { [ "$(lines_of 0)" -gt "$1" ] && [ "$(lines_of 1)" -gt "$2" ]; }
any_more_than() { [ "$(lines_of 0)" -gt "$1" ] || [ "$(lines_of 1)" -gt "$2" ]; }
enough()
{
	local node
	for node in 0 1; do
		"$MUSTER" exec "$(basename "$(run_dir)")" --node $node -- sh -c 'touch "$MUSTER_DATA/enough"' || fail "exec on node $node"
	done
}

start run count.yaml
ok "two pods on one machine count" wait_for 60 counting 1000
cluster kill kubelet 2
still() { ! wait_for 1 any_more_than "$(lines_of 0)" "$(lines_of 1)"; }
ok "its kubelet ends, and nothing is heard of them" wait_for 20 still
ok "the kubelet is back" cluster start kubelet 2
ok "both are heard again" wait_for 60 more_than "$(lines_of 0)" "$(lines_of 1)"
enough
start_finished 40
status_is "the run has gone on to its end" 0
complete "kubelet"
kube_empty "nothing is left"

start run count.yaml
ok "two pods on one machine count" wait_for 60 counting 1000
cluster kill link 2
ok "its cable is pulled, and nothing is heard of them" wait_for 20 still
ok "it is back" cluster start link 2
ok "both are heard again" wait_for 60 more_than "$(lines_of 0)" "$(lines_of 1)"
enough
start_finished 40
status_is "the run has gone on to its end" 0
complete "cable"
kube_done_testing
