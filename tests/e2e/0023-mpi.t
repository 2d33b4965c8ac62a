#!/bin/bash
# launch: mpi: a program built with MPICH starts without mpiexec; one built with Open MPI is told apart clearly.
. "$(dirname "$0")/lib.sh" || exit 1

cat >ring.c <<'C'
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int rank, size, sum = 0, from = -1;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	if (argc > 1 && !strcmp(argv[1], "abort") && rank == 1)
		MPI_Abort(MPI_COMM_WORLD, 7);
	if (argc > 1 && !strcmp(argv[1], "wait"))
		sleep(50);
	MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
	MPI_Sendrecv(&rank, 1, MPI_INT, (rank + 1) % size, 0, &from, 1, MPI_INT, (rank + size - 1) % size, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	static char big[1 << 20];
	MPI_Bcast(big, sizeof big, MPI_CHAR, 0, MPI_COMM_WORLD);
	printf("rank %d of %d sum %d from %d\n", rank, size, sum, from);
	MPI_Finalize();
	return 0;
}
C
cat >ring.yaml <<'J'
cluster: {nodes: 2}
inputs: [{from: ring}]
run: {launch: mpi, procs_per_node: 2, command: ["{data}/ring"], timeout: 60s}
J
if command -v mpicc.mpich >/dev/null; then
	ok "the MPICH program is built" mpicc.mpich -o ring ring.c
	muster run ring.yaml
	status_is "an MPICH program on two nodes" 0
	for rank in 0 1 2 3; do
		is "rank $rank" "$(output $rank)" "rank $rank of 4 sum 6 from $(((rank + 3) % 4))"
	done
	muster run ring.yaml --set cluster.nodes=1 --set run.procs_per_node=1
	is "alone" "$(output 0)" "rank 0 of 1 sum 0 from 0"
	muster run ring.yaml --set 'run.command="{data}/ring abort"'
	status_is "MPI_Abort fails the run" 1
	like "and says which rank" "$(why)" "rank 1"
else
	skip "MPICH" "no mpicc.mpich"
fi
if command -v mpicc.openmpi >/dev/null; then
	ok "the Open MPI program is built" mpicc.openmpi -o ring ring.c
	muster run ring.yaml --set run.mpi=mpich
	status_is "an Open MPI program is refused where the job says mpich" 1
	like "the message names both families" "$(why) $err" "Open MPI.*MPICH|MPICH.*Open MPI"
	is "no rank was started" "$(events 'e["rank"] if e["type"] == "start" else None')" ""
	muster run ring.yaml --set run.mpi=mpich --set 'run.command="true; {data}/ring wait"'
	status_is "and so is one that a shell starts" 1
	like "as soon as it runs" "$(why)" "ring' is built for Open MPI"
else
	skip "Open MPI" "no mpicc.openmpi"
fi
done_testing
