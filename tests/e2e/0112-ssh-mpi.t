#!/bin/bash
# MPI of both families on hosts that ssh reaches, each with a network of its own: no names that resolve, no keys between them; a host that is cut off.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/hosts.sh"
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
	for (int i = 0; argc > 1; i++) { // "lines": so many, then it ends; else it does not
		MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
		if (argv[1][0] != 'l')
			continue;
		printf("rank %d line %d\n", rank, i);
		fflush(stdout);
		usleep(100 * 1000);
		if (i == 50)
			break;
	}
	MPI_Finalize();
	return 0;
}
C
cat >sum.yaml <<'J'
cluster: {executor: ssh, hosts: ["h[0-2]"]}
inputs: [{from: sum}]
run: {launch: mpi, procs_per_node: 2, command: ["{data}/sum"], timeout: 60s}
J
echo 'heartbeat: 1' >site.yaml

all_up() # all ranks have met
{
	local rank
	for rank in 0 1 2 3 4 5; do has_line "$(run_dir)/ranks/output-$rank.txt" "^rank $rank" || return 1; done
}

run_processes() # what carries the newest run's name, on whichever side of a cut
{
	local file pid
	# shellcheck disable=SC2013 # no blanks in these paths; $(...) waits for grep, which matches itself
	for file in $(grep -lzFx -e "MUSTER_RUN=$(basename "$(run_dir)")" /proc/[0-9]*/environ 2>/dev/null); do
		pid=${file//[!0-9]/}
		gone "$pid" || echo "$pid"
	done
}

no_processes_behind() # K: none is left in the network name space of that host
{
	local space pid
	space=$(stat -Lc %i "/run/netns/$(host_space "$1")")
	for pid in $(run_processes); do
		[ "$(stat -Lc %i "/proc/$pid/ns/net" 2>/dev/null)" != "$space" ] || return 1
	done
}

since() # FROM TO: seconds
{
	awk -v from="$1" -v to="$2" 'BEGIN { printf "%.2f", to - from }'
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

# By default a wire that is cut for 10 s is waited for, although nobody is waited for longer than an MPI job must. The cut itself is tested
# with a longer lease: how fast a busy machine connects again is not the question.
is "by default nodes are waited for 15 s" "$(json_value "$(run_dir)/plan.json" '[e["heartbeat"], e["lease"]]')" "[5, 15]"
start run sum.yaml --set cluster.lease=60s --set 'run.command=["{data}/sum", lines]'
ok "all ranks run" wait_for 15 all_up
host_cut 1
sleep 10 # this is what is tested
host_mend 1
start_finished 60
is "a wire that was cut for 10 s: the run goes on" "$status $(outcome)" "0 ok"
for rank in 0 2 5; do
	is "rank $rank lost and doubled nothing" "$(output $rank)" \
		"$(echo "rank $rank of 6 sum 15"; for ((i = 0; i <= 50; i++)); do echo "rank $rank line $i"; done)"
done
ok "nothing is left on the hosts" wait_for 5 hosts_are_clean

start run sum.yaml --site site.yaml --set 'run.command=["{data}/sum", on]'
ok "all ranks run" wait_for 15 all_up
ok "and are seen" test "$(run_processes | wc -l)" -ge 6
lease=$(json_value "$(run_dir)/plan.json" 'e["lease"]')
is "three heartbeats" "$lease" 3
moment=$(date +%s.%N)
host_cut 2
# Silence is counted from the last sign of life; the rest is for looking and for ending the ranks, on a busy machine too.
ok "a host is cut off: its ranks end" wait_for 20 no_processes_behind 2
at_most "behind the cut: seconds until the last of them has" "$(since "$moment" "$(date +%s.%N)")" "$((lease + 5))"
start_finished 60
finished=$(date +%s.%N)
at_most "on this side: seconds until the run says so" "$(since "$moment" "$(events 'e["ts"] if e["type"] == "lost" else None')")" "$((lease + 5))"
at_most "on this side: seconds until the last rank has ended" \
	"$(since "$moment" "$(events 'e["ts"] if e["type"] == "exit" else None' | sort -n | tail -n 1)")" "$((lease + 6))"
# The host that was cut off is asked once more, and that is all.
at_most "seconds from there until the command returns" \
	"$(since "$(events 'e["ts"] if e["type"] == "exit" else None' | sort -n | tail -n 1)" "$finished")" 10
is "the run is lost" "$status $(outcome)" "3 lost"
like "which names the node" "$(why)" "node 2"
ok "and no process is left on either side" wait_for 15 no_run_processes
host_mend 2
wait_for 10 ssh h2 true
muster reap
status_is "reap, the wire mended" 0
ok "finds it clean" wait_for 5 hosts_are_clean
done_testing
