#!/bin/bash
# MPI of both families on hosts that ssh reaches, each with a network of its own: no names that resolve, no keys between them; a host that is cut off.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/hosts.sh"
export XDG_STATE_HOME=$SCRATCH/state
hosts_start 3 apart

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
cluster: {executor: ssh, hosts: ["h[0-2]"]}
inputs: [{from: sum}]
run: {launch: mpi, procs_per_node: 2, command: ["{data}/sum"], timeout: 60s}
J
cat >site.yaml <<'J'
heartbeat: 1
lease: 3
J

all_up() # all ranks have met
{
	local rank
	for rank in 0 1 2 3 4 5; do has_line "$(run_dir)/ranks/output-$rank.txt" "^rank $rank" || return 1; done
}

run_processes() # what carries the newest run's name, on whichever side of a cut
{
	local file pid
	for file in $(grep -lzFx -e "MUSTER_RUN=$(basename "$(run_dir)")" /proc/[0-9]*/environ 2>/dev/null); do
		pid=${file//[!0-9]/}
		gone "$pid" || echo "$pid"
	done
}

no_run_processes()
{
	[ -z "$(run_processes)" ]
}

for family in mpich openmpi; do
	ok "$family: the program is built" "mpicc.$family" -o sum sum.c
	muster run sum.yaml
	status_is "$family: three hosts, two ranks each" 0
	is "$family: is what was taken" "$(events 'e["family"] if e["type"] == "mpi" else None')" "$family"
	for rank in 0 3 5; do
		is "$family: rank $rank" "$(output $rank)" "rank $rank of 6 sum 15"
	done
	ok "$family: nothing is left on the hosts" wait_for 5 hosts_are_clean
done

start run sum.yaml --site site.yaml --set 'run.command=["{data}/sum", on]'
ok "all ranks run" wait_for 15 all_up
ok "and are seen" test "$(run_processes | wc -l)" -ge 6
moment=$(date +%s.%N)
host_cut 2
start_finished 60
at_most "a host is cut off: seconds until the run ends its ranks" \
	"$(events 'e["ts"] if e["type"] == "phase" and e["name"] == "teardown" else None' | head -n 1 | awk -v from="$moment" '{ printf "%.2f", $1 - from }')" 12
is "the run is lost" "$status $(outcome)" "3 lost"
like "which names the node" "$(why)" "node 2"
ok "and no process is left on either side" wait_for 15 no_run_processes
host_mend 2
wait_for 10 ssh h2 true
muster reap
status_is "reap, the wire mended" 0
ok "finds it clean" wait_for 5 hosts_are_clean
done_testing
