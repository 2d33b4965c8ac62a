#!/bin/bash
# Hosts that are reached at one address and have to speak to each other at another: the preflight finds the one that works for all.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/hosts.sh"
hosts_start 3 apart
hosts_second
# Docker's own bridge has the same address on each host: who dials it there reaches himself.
for k in 0 1 2; do
	space=$(host_space $k)
	ip -n "$space" link add docker0 type bridge
	ip -n "$space" address add 172.17.0.1/16 dev docker0
	ip -n "$space" link add veth0 type veth peer name veth1
	ip -n "$space" link set veth0 master docker0
	for device in docker0 veth0 veth1; do ip -n "$space" link set "$device" up; done
done

# Each rank sends a line to the port of the next one, at the address that the job is told, and prints what comes to its own.
cat >ring.py <<'P'
import os, socket, time
rank, hosts, ports = int(os.environ["MUSTER_RANK"]), os.environ["HOSTS"].split(","), os.environ["PORTS"].split(",")
server = socket.create_server((hosts[rank], int(ports[rank])))
server.settimeout(20)
to = (rank + 1) % len(hosts)
end = time.monotonic() + 20
while True:
    try:
        out = socket.create_connection((hosts[to], int(ports[to])), timeout=2)
        break
    except ConnectionRefusedError:
        if time.monotonic() > end:
            raise
        time.sleep(0.05)
out.sendall(b"from rank %d" % rank)
out.close()
got, peer = server.accept()
print(got.recv(100).decode(), "to", hosts[rank], flush=True)
P
cat >ring.yaml <<'J'
cluster: {executor: ssh, hosts: [h0, h1, h2]}
inputs: [{from: ring.py}]
run:
  command: [/usr/bin/python3, "{data}/ring.py"]
  env: {HOSTS: "{hosts}", PORTS: "{port[0]},{port[1]},{port[2]}"}
  timeout: 30s
J

moved() # what was said of nodes that are spoken to elsewhere: NODE INSTEAD ADDRESS
{
	events '"%d %s %s" % (e["node"], e["instead"], e["address"]) if e["type"] == "address" else None' | sort
}

ring_is() # NAME ADDRESS...: who has heard from whom, and where
{
	local name=$1 k=0
	shift
	for address in "$@"; do
		is "$name: rank $k" "$(output $k)" "from rank $(((k + 2) % 3)) to $address"
		k=$((k + 1))
	done
}

muster run ring.yaml
status_is "the first addresses work" 0
is "nobody is spoken to elsewhere" "$(moved)" ""
ring_is "the first addresses" "$(host_address 0)" "$(host_address 1)" "$(host_address 2)"

# Two of three do not see each other at the first address: they get others, for everybody; the third stays where it is.
host_isolate 1 on
host_isolate 2 on
muster run ring.yaml --set run.retries=1 --set 'run.command="[ $MUSTER_RANK != 0 ] || [ -e again ] || { touch again; exit 1; }; exec /usr/bin/python3 {data}/ring.py"'
status_is "two hosts that do not see each other at their first addresses" 0
is "are spoken to at others" "$(moved)" "1 $(host_address 1) $(host_second_address 1)"$'\n'"2 $(host_address 2) $(host_second_address 2)"
like "which is said, with the reason" "$out$err" "node 2 uses the address $(host_second_address 2) instead of $(host_address 2): node 1 cannot reach node 2"
ring_is "in the second attempt too" "$(host_address 0)" "$(host_second_address 1)" "$(host_second_address 2)"
is "every row is of an address that works" "$(events '[r["ok"] for r in e["rows"]] if e["type"] == "preflight" else None' | sort -u)" "[true, true]"

# The first network leads to this machine only.
host_isolate 0 on
cat >sum.c <<'C'
#include <mpi.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	int rank, sum = 0;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
	printf("sum %d\n", sum);
	MPI_Finalize();
	return 0;
}
C
cat >sum.yaml <<'J'
cluster: {executor: ssh, hosts: [h0, h1, h2]}
inputs: [{from: sum}]
run: {launch: mpi, command: ["{data}/sum"], timeout: 40s}
J
for family in mpich openmpi; do
	ok "$family: the program is built" "mpicc.$family" -o sum sum.c
	muster run sum.yaml
	status_is "$family: on the second network" 0
	is "$family: all are spoken to there" "$(moved | cut -d ' ' -f 3 | tr '\n' ' ')" "$(host_second_address 0) $(host_second_address 1) $(host_second_address 2) "
	is "$family: the sum" "$(cat "$(run_dir)"/ranks/output-*.txt | sort -u)" "sum 3"
done

# And when there is no way at all.
ip -n "$(host_space 1)" link set eth1 down
muster run ring.yaml
status_is "no address works between two" 1
like "who cannot reach whom is said" "$(why)" "node [02] cannot reach node 1 at any of its [0-9] addresses: node [02] cannot reach node 1 at $(host_address 1):|node 1 cannot reach node [02] at any of its"
is "no rank was started" "$(events 'e["rank"] if e["type"] == "start" else None')" ""
ok "nothing is left on the hosts" wait_for 5 hosts_are_clean
done_testing
