#!/bin/bash
# The PMI server of src/agent/pmi.c serves real programs: pmi.t PMI_MPICH UCX_FINALIZE. Nodes are on one machine or, as far as MPI is told, each on its own.
set -u
driver=$(realpath "$1") preload=$(realpath "$2")
scratch=$(mktemp -d /tmp/muster-pmi.XXXXXX) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1

if ! command -v mpicc.mpich >/dev/null; then
	[ -z "${MUSTER_TEST_STRICT:-}" ] || { echo "1..1"; echo "not ok 1 - no mpicc.mpich"; exit 1; }
	echo "1..0 # SKIP no mpicc.mpich"
	exit 0
fi
cat >sum.c <<'C'
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
enum { COUNT = 1 << 20 };
int main(int argc, char **argv)
{
	int rank, size;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	float *mine = calloc(COUNT, sizeof *mine), *all = calloc(COUNT, sizeof *all);
	for (int i = 0; i < COUNT; i++)
		mine[i] = (float)(rank + i % 7);
	MPI_Allreduce(mine, all, COUNT, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
	MPI_Barrier(MPI_COMM_WORLD);
	for (int i = 0; i < COUNT; i++)
		if (all[i] != (float)(size * (size - 1) / 2 + size * (i % 7)))
			return 3;
	printf("rank %d of %d\n", rank, size);
	MPI_Finalize();
	return 0;
}
C
count=0
check() # NAME COMMAND...
{
	local name=$1
	shift
	count=$((count + 1))
	if "$@" >out 2>&1; then
		echo "ok $count - $name"
	else
		echo "not ok $count - $name"
		sed 's/^/# /' out
	fi
}
serves() # NODES RANKS HOSTS: every rank finds all others
{
	"$driver" "$1" "$2" "$3" ./sum >ranks 2>&1 || { cat ranks; return 1; }
	for ((rank = 0; rank < $1 * $2; rank++)); do
		echo "rank $rank of $(($1 * $2))"
	done | sort >want
	sort ranks | diff - want
}
check "the program is built" mpicc.mpich -o sum sum.c
for hosts in same own none; do
	for shape in "1 1" "1 4" "2 1" "2 2" "4 1"; do
		# shellcheck disable=SC2086
		check "$shape nodes and ranks, machines $hosts" serves $shape $hosts
	done
done
# Over TCP MPICH 4.0 and 4.1 can hang in MPI_Finalize; as in a run, the ranks load what prevents it.
export UCX_NET_DEVICES=lo UCX_TLS=tcp,self LD_PRELOAD=$preload
check "two nodes over TCP alone" serves 2 1 own
unset LD_PRELOAD
echo "1..$count"
