#!/bin/bash
# The DCGAN example on four containers: MPI between them, metrics and images as on this machine.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/engine.sh"
trainer=$(dirname "$MUSTER")/../trainers/dcgan data=/usr/share/datasets/fashion-mnist
if [ ! -x "$trainer" ] || [ ! -d "$data" ]; then
	skip "dcgan" "the trainer was not built, or there is no dataset-fashion-mnist"
	done_testing
fi
engine_start
ok "an image of the trainer and its libraries" engine_image dcgan:1 "$(realpath "$trainer")=/opt/dcgan"
muster run "$TESTS/../../examples/dcgan.yaml" --set cluster.executor=docker --set cluster.nodes=4 --set cluster.image=dcgan:1 \
	--set "inputs=[{from: $data, path: images, live: true}]" --set 'run.command[0]=/opt/dcgan' --set 'run.command[14]="2"'
status_is "dcgan on four containers, two iterations" 0
is "losses of all ranks" "$(json_lines "$(run_dir)/metrics.jsonl" 'e["rank"] if e["type"] == "metric" and e["name"] == "Loss_D" else None' | sort -u | wc -l)" 4
ok "images came back" test -n "$(find "$(run_dir)/outputs" -name '*.png' -size +0)"
ok "the engine is empty again" engine_is_empty
done_testing
