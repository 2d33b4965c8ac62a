#!/bin/bash
# MPI of both families on containers, of an image that has their libraries and neither sshd nor keys; a container that is killed under it.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/engine.sh"
engine_start

cat >sum.c <<'C'
#include <mpi.h>
#include <stdio.h>
#include <unistd.h>
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
cluster: {executor: docker, nodes: 3, image: "mpi:1"}
inputs: [{from: sum}]
run: {launch: mpi, command: ["{data}/sum"], timeout: 60s}
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
ok "an image with the libraries" engine_image mpi:1 /bin/sh sum.mpich=/opt/unused sum.openmpi=/opt/unused /usr/bin/mpirun.openmpi /usr/bin/orted /etc/passwd \
	"${components[@]}"
for family in mpich openmpi; do
	cp "sum.$family" sum
	for each in 1 2; do
		size=$((3 * each))
		muster run sum.yaml --set run.procs_per_node=$each
		status_is "$family: three containers, ranks on each: $each" 0
		is "$family: the family that was taken" "$(events 'e["family"] if e["type"] == "mpi" else None')" "$family"
		is "$family: what the ranks print, and nothing of the library's between" "$(cat "$(run_dir)"/ranks/output-*.txt)" \
			"$(for ((rank = 0; rank < size; rank++)); do echo "rank $rank of $size sum $((size * (size - 1) / 2))"; done)"
	done
done
is "Open MPI itself had nothing to say" "$(grep -v 'setpgid.* failed in parent' "$(run_dir)/outputs/node-0/mpirun.log" 2>/dev/null)" ""
ok "nothing is left in the engine" engine_is_empty

# MPICH's ranks leave at different times: those that have taken leave must still answer those that take it later.
cat >late.c <<'C'
#include <mpi.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int rank, size, token = 0;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	MPI_Bcast(&token, 1, MPI_INT, 0, MPI_COMM_WORLD);
	if (rank == 1) {
		usleep(300 * 1000); // what is tested: the others take leave before the message comes that rank 0 waits for
		MPI_Send(&token, 1, MPI_INT, 0, 0, MPI_COMM_WORLD);
	} else if (rank == 0) {
		MPI_Recv(&token, 1, MPI_INT, 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	}
	MPI_Finalize();
	printf("rank %d has left\n", rank);
	return 0;
}
C
ok "a program whose ranks leave at different times is built" mpicc.mpich -o sum late.c
muster run sum.yaml --set run.procs_per_node=2 --set run.timeout=20s --set run.env.LD_PRELOAD=libm.so.6 --set 'run.command=["/bin/sh", "-c", "echo $LD_PRELOAD; exec {data}/sum"]'
status_is "MPICH: ranks that leave at different times" 0
is "all of them leave" "$(cat "$(run_dir)"/ranks/output-*.txt | grep -c 'has left')" 6
like "what the job preloads itself is loaded too" "$(output 0)" "parting.so:libm.so.6"

cp sum.openmpi sum
start run sum.yaml --set run.procs_per_node=2 --set 'run.command=["{data}/sum", on]'
ok "all ranks run" wait_for 15 all_up
curl -sS --unix-socket "$ENGINE_DIR/docker.sock" -X POST "http://engine/containers/$(basename "$(run_dir)")-node-2/kill"
start_finished 20
is "a container is killed: the run is lost" "$status $(outcome)" "3 lost"
like "which names the node" "$(why)" "node 2 is lost"
ok "nothing is left in the engine" wait_for 5 engine_is_empty
done_testing
