#!/bin/bash
# launch: mpi with Open MPI: its own mpirun without ssh, ranks that are like all others, and an end everywhere when one of them dies.
. "$(dirname "$0")/lib.sh" || exit 1

if ! command -v mpicc.openmpi >/dev/null || ! command -v mpirun.openmpi >/dev/null; then
	skip "Open MPI" "no mpicc.openmpi or no mpirun.openmpi"
	done_testing
fi
cat >ring.c <<'C'
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int rank, size, sum = 0, from = -1;
	const char *how = argc > 1 ? argv[1] : "", *fd = getenv("MUSTER_METRICS_FD");
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
	MPI_Sendrecv(&rank, 1, MPI_INT, (rank + 1) % size, 0, &from, 1, MPI_INT, (rank + size - 1) % size, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	static char big[1 << 20];
	MPI_Bcast(big, sizeof big, MPI_CHAR, 0, MPI_COMM_WORLD);
	printf("rank %d of %d sum %d from %d\n", rank, size, sum, from);
	printf("%s %s %s %s\n", getenv("MUSTER_RANK"), getenv("MUSTER_LOCAL_RANK"), getenv("MUSTER_NODE"), getenv("COLOUR"));
	fflush(stdout);
	if (fd)
		dprintf(atoi(fd), "{\"name\": \"sum\", \"value\": %d}\n", sum);
	if (strcmp(how, "abort") == 0 && rank == 1)
		MPI_Abort(MPI_COMM_WORLD, 7);
	if (strcmp(how, "leave") == 0 && rank == 1)
		_exit(0);
	if (strcmp(how, "once") == 0 && rank == 2 && access(argv[2], F_OK) != 0)
		return fclose(fopen(argv[2], "w")) + 9;
	if (strcmp(how, "wait") == 0)
		sleep(100);
	if (*how)
		MPI_Barrier(MPI_COMM_WORLD);
	MPI_Finalize();
	return 0;
}
C
ok "the program is built" mpicc.openmpi -o ring ring.c
cat >ring.yaml <<'J'
name: ring
cluster: {nodes: 2}
inputs: [{from: ring}]
run: {launch: mpi, procs_per_node: 2, command: ["{data}/ring"], env: {COLOUR: "blue {node}"}, timeout: 60s}
outputs: ["*"]
J

all_up() # all ranks have met
{
	local rank
	for rank in 0 1 2 3; do has_line "$(run_dir)/ranks/output-$rank.txt" "^rank $rank" || return 1; done
}

# seconds from a moment (of the wall clock) to the last exit of a rank
until_all_ended()
{
	events 'e["ts"] if e["type"] == "exit" else None' | sort -n | tail -n 1 | awk -v from="$1" '{ printf "%.2f", $1 - from }'
}

segments() # what lies in /dev/shm but for the directories of other tests
{
	find /dev/shm -mindepth 1 -maxdepth 1 ! -name 'muster-*' -printf '%f\n' | sort
}
shm=$(segments)
muster run ring.yaml
status_is "two nodes, two ranks each" 0
for rank in 0 1 2 3; do
	is "rank $rank: its own output" "$(output $rank)" "rank $rank of 4 sum 6 from $(((rank + 3) % 4))"$'\n'"$rank $((rank % 2)) $((rank / 2)) blue $((rank / 2))"
done
is "each rank's metric" "$(json_lines "$(run_dir)/metrics.jsonl" 'str(e["rank"]) if e["type"] == "metric" and e["value"] == 6 else None' | sort | tr '\n' ' ')" "0 1 2 3 "
is "the family that was taken, and why" "$(events 'e["family"] + str("is linked to" in e["why"]) if e["type"] == "mpi" else None')" "openmpiTrue"
like "the display says so" "$out$err" "mpi: Open MPI"
is "Open MPI itself had nothing to say" "$(grep -v 'setpgid.* failed in parent' "$(run_dir)/outputs/node-0/mpirun.log" 2>/dev/null)" ""
is "nothing in /dev/shm" "$(segments)" "$shm"

muster run ring.yaml --set cluster.nodes=1 --set run.procs_per_node=1 --set run.mpi=openmpi
is "alone" "$(output 0 | head -n 1)" "rank 0 of 1 sum 0 from 0"
is "because the job says so" "$(events 'e["why"] if e["type"] == "mpi" else None')" "set in the job"
idle='run.command="echo idle $OMPI_MCA_mpi_yield_when_idle; exec {data}/ring"'
muster run ring.yaml --set cluster.nodes=1 --set run.procs_per_node=1 --set run.mpi=openmpi --set "$idle" --set cluster.cpus=500m
if [ "$status" = 3 ] && [[ $err =~ cgroup|control\ group ]]; then
	skip "a rank on half a CPU" "control groups cannot be written here"
else
	is "a rank on half a CPU yields when it is idle" "$(output 0 | head -n 1)" "idle 1"
fi
muster run ring.yaml --set cluster.nodes=1 --set run.procs_per_node=1 --set run.mpi=openmpi --set "$idle"
is "one without a limit does not" "$(output 0 | head -n 1)" "idle"
muster run ring.yaml --set cluster.nodes=4 --set 'run.command="exec {data}/ring"' --set run.procs_per_node=1
is "four nodes, by a shell" "$(output 3 | head -n 1)" "rank 3 of 4 sum 6 from 2"

# A node's directory may be deeper than a socket's address is long, and have blanks.
deep="$SCRATCH/$(printf 'd%.0s' $(seq 100)) with blanks"
MUSTER_NODES_DIR=$deep muster run ring.yaml
status_is "long names with blanks" 0
is "which are empty afterwards" "$(ls -A "$deep")" ""

# --- ends -----------------------------------------------------------------------

muster run ring.yaml --set 'run.command=["{data}/ring", abort]'
status_is "MPI_Abort fails the run" 1
like "and says which rank, with its code" "$(why)" "rank 1 on node 0 exited with status 7"
like "what Open MPI says of it is kept" "$(cat "$(run_dir)/outputs/node-0/mpirun.log")" "MPI_ABORT was invoked on rank 1"

muster run ring.yaml --set 'run.command=["{data}/ring", leave]'
status_is "a rank that leaves without MPI_Finalize" 1
like "is found" "$(why)" "rank 1|mpirun|gave it up"

muster run ring.yaml --set "run.command=[\"{data}/ring\", once, $SCRATCH/once]" --set run.retries=1
status_is "a second attempt" 0
is "began because of rank 2" "$(events 'e["why"] if e["type"] == "retry" else None')" "rank 2 on node 1 exited with status 9"
is "and was whole" "$(events 'str(e["rank"]) if e["type"] == "exit" and e["attempt"] == 2 and e["status"] == 0 else None' | sort | tr '\n' ' ')" "0 1 2 3 "

muster run ring.yaml --set 'run.command=["{data}/ring", wait]' --set run.timeout=2s
status_is "a timeout" 1
like "is what it is" "$(why)" "timeout"

for who in rank mpirun daemon; do
	start run ring.yaml --set 'run.command=["{data}/ring", wait]'
	ok "$who killed: all ranks run" wait_for 20 all_up
	case $who in
	rank) pid=$(rank_pid 3) ;;
	mpirun) pid=$(pgrep -P "$(agent_pid 0)" -x mpirun) ;;
	daemon) pid=$(pgrep -P "$(pgrep -P "$(agent_pid 1)" -x sh)" -x orted) ;;
	esac
	ok "$who killed: it is found" test -n "$pid"
	moment=$(date +%s.%N)
	kill -9 "$pid"
	start_finished 20
	status_is "$who killed: the run fails" 1
	case $who in
	rank) like "rank killed: says which" "$(why)" "rank 3 on node 1 was killed by signal 9" ;;
	mpirun) like "mpirun killed: says so" "$(why)" "mpirun was killed by signal 9|gave it up" ;;
	daemon) like "daemon killed: says so" "$(why)" "daemon was killed by signal 9|mpirun ended|gave it up" ;;
	esac
	at_most "$who killed: seconds until every rank has ended" "$(until_all_ended "$moment")" 1.5
	nothing_is_left "$who killed: nothing is left"
done
is "still nothing in /dev/shm" "$(segments)" "$shm"

start run ring.yaml --set 'run.command=["{data}/ring", wait]'
ok "cancel: all ranks run" wait_for 20 all_up
muster cancel latest
start_finished 20
status_is "cancel: exit 130" 130
is "cancel: the outcome" "$(outcome)" cancelled

# --- what is asked for and not there --------------------------------------------

mkdir empty
muster run ring.yaml --set run.env.PATH="$PWD/empty"
status_is "no mpirun" 1
like "is said" "$(why)" "needs Open MPI's mpirun, but node 0 has none of"
printf '#!/bin/sh\necho "no luck today" >&2; exit 4\n' >empty/mpirun.openmpi
chmod +x empty/mpirun.openmpi
muster run ring.yaml --set run.env.PATH="$PWD/empty" --set run.mpi=openmpi
status_is "an mpirun that fails" 1
like "says why" "$(why)" "mpirun ended with status 4: no luck today"

# --- a program that does not show its library -----------------------------------

if /usr/bin/python3 -c 'import mpi4py' 2>/dev/null; then
	cat >hello.py <<'P'
from mpi4py import MPI
import numpy
world = MPI.COMM_WORLD
total = numpy.zeros(1)
world.Allreduce(numpy.array([world.rank + 0.5]), total)
print(f"rank {world.rank} of {world.size} total {total[0]}", flush=True)
P
	cat >py.yaml <<'J'
cluster: {nodes: 2}
inputs: [{from: hello.py}]
run: {launch: mpi, mpi: openmpi, procs_per_node: 2, command: [/usr/bin/python3, "{data}/hello.py"], timeout: 60s}
J
	muster run py.yaml
	status_is "mpi4py" 0
	is "mpi4py: rank 3" "$(output 3)" "rank 3 of 4 total 8.0"
else
	skip "mpi4py" "no python3-mpi4py"
fi
if command -v mpicc.mpich >/dev/null; then
	mpicc.mpich -o ring ring.c
	muster run ring.yaml --set run.mpi=openmpi
	is "a program of MPICH is served as well" "$(output 3 | head -n 1)" "rank 3 of 4 sum 6 from 2"
else
	skip "MPICH" "no mpicc.mpich"
fi
done_testing
