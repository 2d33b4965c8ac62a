#!/bin/bash
# The examples' training jobs in pods: parameter servers with the limits of the tutorial, one line of the job changed; the DCGAN on two.
. "$(dirname "$0")/../lib.sh" || exit 1
build=$(dirname "$MUSTER")/.. examples=$KUBE/../../examples data=/usr/share/datasets/fashion-mnist
for what in "$build/trainers/mnist" "$build/trainers/dcgan" "$data"; do
	[ -e "$what" ] || { fail "what the examples need" "there is no $what"; kube_done_testing; }
done
ok "an image of the trainers' libraries" kube_image localhost/trainers:1 "$(realpath "$build/trainers/mnist")=/opt/mnist" \
	"$(realpath "$build/trainers/dcgan")=/opt/dcgan"

sed "s|^  executor: local|  executor: kubernetes\n  image: localhost/trainers:1|" "$examples/mnist-ps.yaml" >mnist-ps.yaml
muster run mnist-ps.yaml --set "inputs[0].from=$(realpath "$build/trainers/mnist")"
status_is "mnist-ps" 0
is "everybody ended by itself" "$(events 'e["status"] if e["type"] == "exit" and e["rank"] >= 2 else None' | tr '\n' ' ')" "0 0 "
like "200 steps, and it has learned" "$(output 2)" $'\nAfter 200 training step\(s\), test accuracy = 0\.[6-9]'
like "worker 1 was there to the end" "$(output 3)" 'Worker 1: training step [0-9]+ done \(global step: 200\)'
like "server 0 made 200 steps" "$(output 0)" 'ends after 200 steps'
like "server 1 made 200 steps" "$(output 1)" 'ends after 200 steps'
ok "the model came back" test -n "$(find "$(run_dir)/outputs" -name mnist.model -size +0)"
ok "metrics" test -n "$(json_lines "$(run_dir)/metrics.jsonl" 'e["value"] if e["type"] == "metric" and e["name"] == "test_accuracy" else None')"
kube_empty "nothing is left"

muster run "$examples/dcgan.yaml" --set cluster.executor=kubernetes --set cluster.image=localhost/trainers:1 \
	--set "inputs[0].from=$(realpath "$build/trainers/dcgan")" --set "inputs[1]={from: $data, path: images}" --set 'run.command[14]="2"'
status_is "dcgan on two pods, two iterations" 0
is "losses of all ranks" "$(json_lines "$(run_dir)/metrics.jsonl" 'e["rank"] if e["type"] == "metric" and e["name"] == "Loss_D" else None' | sort -u | wc -l)" 2
ok "images came back" test -n "$(find "$(run_dir)/outputs" -name '*.png' -size +0)"
kube_done_testing
