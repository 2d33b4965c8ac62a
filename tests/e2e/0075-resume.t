#!/bin/bash
# A trainer that keeps checkpoints: the attempt after a killed rank goes on from them and ends as if nothing had happened.
. "$(dirname "$0")/lib.sh" || exit 1

trainer=$(dirname "$MUSTER")/../trainers/dcgan
if ! [ -x "$trainer" ] || ! [ -d /usr/share/datasets/fashion-mnist ]; then
	skip "dcgan resumed" "the trainer was not built, or there is no dataset-fashion-mnist"
	done_testing
fi
cat >dcgan.yaml <<J
name: dcgan
cluster: {nodes: 2}
inputs: [$trainer]
run:
  launch: mpi
  retries: 2
  command: [
    "{data}/dcgan", --test_data, --image_size, "16", --batch_size, "16", --max_iters, "150", --threads, "1", --out_folder, "{out}",
    --checkpoint, "{out}/kept", --every, "10", --resume]
outputs: ["*.png", "kept/*"]
J

losses() # RANK [RUN_DIR]: its lines without their times, each once
{
	output "$@" | sed -n 's/ time: .*//; /^\[epoch: 1.*iteration/p' | sort -u
}

muster run dcgan.yaml
status_is "never killed" 0
straight=$(run_dir)

start run dcgan.yaml
nodes=$MUSTER_NODES_DIR/$(basename "$(run_dir)")
ok "a checkpoint is kept" wait_for 30 test -e "$nodes/node-0/out/kept/checkpoint"
kill -9 "$(rank_pid 1)"
start_finished 60
status_is "rank 1 killed: exit 0" 0
is "one retry" "$(events 'str(e["attempt"]) if e["type"] == "retry" else None' | tr '\n' ' ')" "2 "
like "begins where there is nothing, goes on where there is a checkpoint" "$(output 0 | grep checkpoint | tr '\n' ' ')" \
	"kept: no checkpoint, starting from the beginning .*kept/checkpoint: going on after iteration [1-9][0-9]* $"
for rank in 0 1; do
	is "losses of rank $rank" "$(losses $rank | md5sum)" "$(losses $rank "$straight" | md5sum)"
done
is "all iterations are there" "$(losses 0 | wc -l)" 150
for file in kept/checkpoint fake_samples_epoch_001_iter_00150.png; do
	ok "$file came back, as if never killed" cmp "$(run_dir)/outputs/node-0/$file" "$straight/outputs/node-0/$file"
done
done_testing
