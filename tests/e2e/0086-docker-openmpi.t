#!/bin/bash
# Open MPI on containers, of an image that has its libraries and neither sshd nor keys; a container that is killed under it.
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
run: {launch: mpi, procs_per_node: 2, command: ["{data}/sum"], timeout: 60s}
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

ok "the program is built" mpicc.openmpi -o sum sum.c
ok "an image with the libraries" engine_image mpi:1 /bin/sh sum=/opt/unused /usr/bin/mpirun.openmpi /usr/bin/orted /etc/passwd "${components[@]}"
muster run sum.yaml
status_is "three containers, two ranks each" 0
is "the family that was taken" "$(events 'e["family"] if e["type"] == "mpi" else None')" openmpi
is "what the ranks print, and nothing of the library's between" "$(cat "$(run_dir)"/ranks/output-*.txt)" \
	"$(for rank in 0 1 2 3 4 5; do echo "rank $rank of 6 sum 15"; done)"
is "Open MPI itself had nothing to say" "$(grep -v 'setpgid.* failed in parent' "$(run_dir)/outputs/node-0/mpirun.log" 2>/dev/null)" ""
ok "nothing is left in the engine" engine_is_empty

start run sum.yaml --set 'run.command=["{data}/sum", on]'
ok "all ranks run" wait_for 15 all_up
curl -sS --unix-socket "$ENGINE_DIR/docker.sock" -X POST "http://engine/containers/$(basename "$(run_dir)")-node-2/kill"
start_finished 20
is "a container is killed: the run is lost" "$status $(outcome)" "3 lost"
like "which names the node" "$(why)" "node 2 is lost"
ok "nothing is left in the engine" wait_for 5 engine_is_empty
done_testing
