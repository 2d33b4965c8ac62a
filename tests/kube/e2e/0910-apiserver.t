#!/bin/bash
# The API server is killed and started again in the middle of a run, twice: the pods go on, the lines come back, and every byte of what the
# ranks said and wrote is there.
. "$(dirname "$0")/../lib.sh" || exit 1
ok "an image" kube_tools

cat >count.yaml <<'J'
name: count
cluster: {executor: kubernetes, nodes: 4, image: "localhost/tools:1"}
run:
  command: |
    i=0
    while [ $i -lt 100 ]; do
      seq $((i * 20000)) $((i * 20000 + 19999))
      i=$((i + 1))
      sleep 0.3
    done
    seq 1 3000000 >last
outputs: [last]
J
lines() # at least COUNT of each rank
{
	local rank
	for rank in 0 1 2 3; do
		[ "$(wc -l <"$(run_dir)/ranks/output-$rank.txt")" -ge "$1" ] || return 1
	done
}
back() { [ "$(events 'e["node"] if e["type"] == "back" else None' | sort -u | wc -l)" -eq 4 ]; }

start run count.yaml
ok "four ranks say something" wait_for 60 lines 40000
cluster kill apiserver
here=$(wc -l <"$(run_dir)/ranks/output-0.txt")
sleep 3 # a moment in which nothing can come
ok "the API server is back" cluster start apiserver
ok "so are the nodes" wait_for 30 back
ok "and go on" wait_for 30 lines $((here + 100000))
cluster kill apiserver
ok "once more" cluster start apiserver
start_finished 120
status_is "the run ends well" 0
seq 0 1999999 >said
seq 1 3000000 >wrote
for rank in 0 1 2 3; do
	ok "every line of rank $rank is there, once" cmp said "$(run_dir)/ranks/output-$rank.txt"
	ok "and its file" cmp wrote "$(run_dir)/outputs/node-$rank/last"
done
is "no node was lost" "$(events 'e["node"] if e["type"] == "lost" else None')" ""
kube_done_testing
