#!/bin/bash
# The DCGAN example on four hosts that ssh reaches, each with a network of its own: the program and its data are sent there, MPI goes from host to host,
# metrics and images come back, and it learns what it learns on this machine.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/hosts.sh"
trainer=$(dirname "$MUSTER")/../trainers/dcgan data=/usr/share/datasets/fashion-mnist
if [ ! -x "$trainer" ] || [ ! -d "$data" ]; then
	skip "dcgan" "the trainer was not built, or there is no dataset-fashion-mnist"
	done_testing
fi
hosts_start 4 apart
mkdir images && cp "$data"/t10k-* images/
train() # ARGS...
{
	muster run "$TESTS/../../examples/dcgan.yaml" --set "inputs[0].from=$(realpath "$trainer")" --set "inputs[1]={from: $PWD/images, path: images}" \
		--set 'run.command[8]="16"' --set 'run.command[14]="3"' --set 'run.command[17]=--test_data' "$@"
}
losses() { json_lines "$(run_dir)/metrics.jsonl" '[e["rank"], e["value"]] if e["type"] == "metric" and e["name"] == "Loss_D" else None' | sort; }

train --set 'cluster={executor: ssh, hosts: ["h[0-3]"]}'
status_is "dcgan on four hosts, three iterations" 0
is "losses of all ranks" "$(losses | cut -d, -f1 | sort -u | tr '\n' ' ')" "[0 [1 [2 [3 "
there=$(losses)
ok "images came back" test -n "$(find "$(run_dir)/outputs" -name '*.png' -size +0)"
ok "the hosts are clean" wait_for 5 hosts_are_clean
train --set cluster.nodes=4
status_is "the same on this machine" 0
is "the losses are the same" "$(losses)" "$there"
done_testing
