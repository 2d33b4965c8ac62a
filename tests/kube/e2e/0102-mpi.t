#!/bin/bash
# MPI of both families on three pods, of an image that has their libraries and neither sshd nor keys; a pod that is killed under it.
. "$(dirname "$0")/../lib.sh" || exit 1

cat >sum.c <<'C'
#include <mpi.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	int rank, size, sum = 0;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
	static char big[1 << 20];
	MPI_Bcast(big, sizeof big, MPI_CHAR, 0, MPI_COMM_WORLD);
	printf("rank %d of %d sum %d\n", rank, size, sum);
	fflush(stdout);
	while (argc > 1)
		MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
	MPI_Finalize();
	return 0;
}
C
cat >sum.yaml <<'J'
name: sum
cluster: {executor: kubernetes, nodes: 3, image: "localhost/mpi:1"}
inputs: [{from: sum}]
run: {launch: mpi, command: ["{data}/sum"], timeout: 100s}
J

# What Open MPI opens by name while it runs: its components and their texts.
components=()
for file in /usr/lib/*-linux-gnu/{openmpi/lib/openmpi3,pmix2/lib/pmix}/*.so /usr/share/openmpi/* /usr/lib/*-linux-gnu/pmix2/share/pmix/* /etc/openmpi/*; do
	[ ! -f "$file" ] || components+=("$file")
done

all_up() # all ranks have met
{
	[ "$(cat "$(run_dir)"/ranks/output-*.txt | grep -c '^rank')" -eq 6 ]
}

for family in mpich openmpi; do
	ok "$family: the program is built" "mpicc.$family" -o "sum.$family" sum.c
done
ok "an image with the libraries" kube_image localhost/mpi:1 /bin/sh sum.mpich=/opt/unused sum.openmpi=/opt/unused /usr/bin/mpirun.openmpi \
	/usr/bin/orted /etc/passwd "${components[@]}"
for family in mpich openmpi; do
	cp "sum.$family" sum
	for each in 1 2; do
		size=$((3 * each))
		muster run sum.yaml --set run.procs_per_node=$each
		status_is "$family: three pods, ranks on each: $each" 0
		is "$family: the family that was taken" "$(events 'e["family"] if e["type"] == "mpi" else None')" "$family"
		is "$family: what the ranks print, and nothing of the library's between" "$(cat "$(run_dir)"/ranks/output-*.txt)" \
			"$(for ((rank = 0; rank < size; rank++)); do echo "rank $rank of $size sum $((size * (size - 1) / 2))"; done)"
	done
done
kube_empty "nothing is left"

start run sum.yaml --set run.procs_per_node=2 --set 'run.command=["{data}/sum", on]'
ok "all ranks run" wait_for 60 all_up
kubectl delete pod "$(pod_of 2)" --grace-period=0 --force --wait=false >/dev/null 2>&1
start_finished 60
is "a pod is deleted: the run is lost" "$status $(outcome)" "3 lost"
like "which names the node" "$(why)" "^node 2 (is lost|was told to stop)"
kube_done_testing
