#!/bin/bash
# The DCGAN example on four containers: MPI between them; the program and its data are sent there, metrics and images come back.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/engine.sh"
trainer=$(dirname "$MUSTER")/../trainers/dcgan data=/usr/share/datasets/fashion-mnist
if [ ! -x "$trainer" ] || [ ! -d "$data" ]; then
	skip "dcgan" "the trainer was not built, or there is no dataset-fashion-mnist"
	done_testing
fi
engine_start
ok "an image of the trainer's libraries" engine_image dcgan:1 "$(realpath "$trainer")=/opt/unused"
muster run "$TESTS/../../examples/dcgan.yaml" --set cluster.executor=docker --set cluster.nodes=4 --set cluster.image=dcgan:1 \
	--set "inputs[0].from=$(realpath "$trainer")" --set "inputs[1]={from: $data, path: images}" --set 'run.command[14]="2"'
status_is "dcgan on four containers, two iterations" 0
is "losses of all ranks" "$(json_lines "$(run_dir)/metrics.jsonl" 'e["rank"] if e["type"] == "metric" and e["name"] == "Loss_D" else None' | sort -u | wc -l)" 4
ok "images came back" test -n "$(find "$(run_dir)/outputs" -name '*.png' -size +0)"
ok "the engine is empty again" engine_is_empty
done_testing
