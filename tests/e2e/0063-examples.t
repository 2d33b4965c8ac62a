#!/bin/bash
# The examples run as they stand, and README.md shows one of them as it is.
. "$(dirname "$0")/lib.sh" || exit 1

root=$(cd "$TESTS/../.." && pwd)
muster run "$root/examples/hello.yaml"
status_is "hello" 0
is "hello: rank 1" "$(output 1)" "hello from rank 1 of 2 on node 1"

muster run "$root/examples/pi.yaml"
status_is "pi" 0
for rank in 0 1 2 3; do
	like "pi: rank $rank comes near" "$(output $rank | tail -n 1)" "^step 3/3 pi 3\.14"
done
is "pi: twelve metrics" "$(json_lines "$(run_dir)/metrics.jsonl" '1 if e["type"] == "metric" else None' | wc -l)" 12
is "pi: four outputs" "$(find "$(run_dir)/outputs" -name 'pi-*.txt' | wc -l)" 4
tail -n +2 "$root/examples/pi.yaml" >expected
sed -n '/^```yaml$/,/^```$/p' "$root/README.md" | sed '1d;$d' >shown
ok "README.md shows examples/pi.yaml" cmp expected shown

if command -v mpirun.openmpi >/dev/null && /usr/bin/python3 -c 'import mpi4py' 2>/dev/null; then
	muster run "$root/examples/allreduce.yaml"
	status_is "allreduce" 0
	like "allreduce: rank 3" "$(output 3 | tail -n 1)" "^step 5/5 sum 6 in [0-9.]+ ms"
	is "allreduce: twenty metrics" "$(json_lines "$(run_dir)/metrics.jsonl" '1 if e["type"] == "metric" else None' | wc -l)" 20

	# Its image needs a registry; on nodes of this machine the cluster and the job are the same.
	sed '/executor:/d; /build:/d' "$root/examples/docker-mpi.yaml" >mpi.yaml
	muster up mpi.yaml
	status_is "docker-mpi, without the image" 0
	muster run "$root/examples/allreduce.yaml" --on mpi
	status_is "docker-mpi: allreduce on it" 0
	like "docker-mpi: rank 3" "$(output 3 | tail -n 1)" "^step 5/5 sum 6 in [0-9.]+ ms"
	muster scale mpi 6
	status_is "docker-mpi: scale" 0
	muster down mpi
	status_is "docker-mpi: down" 0
else
	skip "allreduce" "no mpirun.openmpi or no python3-mpi4py"
fi

# Those for a Kubernetes give plans here, and run in tests/kube.
for job in "$root"/examples/kubernetes/*.yaml; do
	[ "$(basename "$job")" != role.yaml ] || continue
	muster plan "$job"
	status_is "kubernetes: $(basename "$job")" 0
done

# Its image needs a registry; what it runs does not.
muster run "$root/examples/docker-build.yaml" --set cluster.executor=local --set cluster.build= --set cluster.memory=
status_is "docker-build, without the image" 0
like "docker-build: rank 3" "$(output 3)" "^RANK=3 WORLD_SIZE=4 MASTER_ADDR=127\."

muster up "$root/examples/cluster.yaml"
status_is "cluster" 0
muster run "$root/examples/hello.yaml" --on lab
status_is "cluster: a job on it" 0
muster action lab note --set text=hello
is "cluster: an action" "$out" "0| hello"
muster down lab
status_is "cluster: down" 0

trainer=$(dirname "$MUSTER")/../trainers/dcgan
if [ -x "$trainer" ] && [ -d /usr/share/datasets/fashion-mnist ]; then
	muster run "$root/examples/dcgan.yaml" --set "inputs[0].from=$trainer" --set 'run.command[14]="2"'
	status_is "dcgan, two iterations" 0
	ok "dcgan: losses of both ranks" test "$(json_lines "$(run_dir)/metrics.jsonl" 'e["rank"] if e["type"] == "metric" and e["name"] == "Loss_D" else None' | sort -u | wc -l)" -eq 2
	ok "dcgan: images came back" test -n "$(find "$(run_dir)/outputs" -name '*.png' -size +0)"
else
	skip "dcgan" "the trainer was not built, or there is no dataset-fashion-mnist"
fi

trainer=$(dirname "$MUSTER")/../trainers/mnist
if [ -x "$trainer" ] && [ -d /usr/share/datasets/fashion-mnist ]; then
	muster run "$root/examples/mnist-ps.yaml" --set "inputs[0].from=$trainer"
	status_is "mnist-ps" 0
	is "mnist-ps: everybody ended by itself" "$(events 'e["status"] if e["type"] == "exit" and e["rank"] >= 2 else None' | tr '\n' ' ')" "0 0 "
	like "mnist-ps: 200 steps, and it has learned" "$(output 2)" $'\nAfter 200 training step\(s\), test accuracy = 0\.[6-9]'
	like "mnist-ps: worker 1 was there to the end" "$(output 3)" 'Worker 1: training step [0-9]+ done \(global step: 200\)'
	like "mnist-ps: server 0 made 200 steps" "$(output 0)" 'ends after 200 steps'
	like "mnist-ps: server 1 made 200 steps" "$(output 1)" 'ends after 200 steps'
	ok "mnist-ps: the model came back" test -n "$(find "$(run_dir)/outputs" -name mnist.model -size +0)"
	ok "mnist-ps: metrics" test -n "$(json_lines "$(run_dir)/metrics.jsonl" 'e["value"] if e["type"] == "metric" and e["name"] == "test_accuracy" else None')"
else
	skip "mnist-ps" "the trainer was not built, or there is no dataset-fashion-mnist"
fi

# The commands that README.md names exist, and no other.
"$MUSTER" --help | sed -nE 's/^  ([a-z]+)  .*/\1/p' | sort >commands
is "README.md: its table has every command a user needs" \
	"$(sed -nE 's/^\| `muster ([a-z]+).*/\1/p' "$root/README.md" | sort)" "$(grep -vxE 'agent|version' commands)"
done_testing
