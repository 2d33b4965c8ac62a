#!/bin/bash
# run.container: ranks in a container of each node's own engine: images, builds, exit statuses, signals, files, limits, MPI, and what is left when
# things go wrong: nothing.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/engine.sh"
engine_start
ok "an image of this machine's programs" \
	engine_image tools:1 /bin/sh /bin/cat /bin/sleep /usr/bin/head /usr/bin/tail /usr/bin/id /usr/bin/env /bin/mkdir /bin/chmod
engine_post() { curl -sS --max-time 20 --unix-socket "$ENGINE_DIR/docker.sock" -X "$1" "http://engine$2"; }

# --- a rank is a rank ---------------------------------------------------------
head -c 3000000 /dev/urandom >blob
mkdir live volume && echo edited >live/word && echo secret >volume/word && echo shared >shared
cat >rank.yaml <<'J'
name: rank
cluster: {nodes: 2}
inputs: [blob, {from: live, live: true}, {from: shared, once: true}]
run:
  container: {image: "tools:1", volumes: ["./volume:/volume:ro", "kept:/kept"]}
  procs_per_node: 2
  env: {OWN: "of the job"}
  command: |
    case {rank} in
    0) cat {data}/blob ;;
    1) env; cat {hostfile} {data}/live/word {data}/shared /volume/word; echo no 2>/dev/null >/volume/new || echo read-only ;;
    2) id -u; id -g; echo '{"name": "loss", "value": 0.5}' >&$MUSTER_METRICS_FD; echo kept >{out}/kept-{rank}; mkdir {out}/deep; echo x >{out}/deep/x ;;
    3) echo rank >{data}/live/from-{rank}; (echo late; sleep 0.3; echo later) & ;;
    esac
outputs: ["kept-*", "deep/*"]
J
MUSTER_SECRET_OF_USER=hidden muster run rank.yaml
status_is "ranks in containers" 0
ok "output is what was printed, byte by byte" cmp blob "$(run_dir)/ranks/output-0.txt"
like "the environment is the image's and the rank's" "$(output 1)" "PATH=/usr/bin:/bin"
like "run.env in it" "$(output 1)" "OWN=of the job"
unlike "and not that of the node's user" "$(output 1)" "hidden"
like "the host file, what is live, what all share and a volume are there, read-only" "$(output 1 | tail -n 6 | tr '\n' ' ')" \
	"127.* 127.* edited shared secret read-only"
is "it runs as the node's user" "$(output 2 | tr '\n' ' ')" "$(id -u) $(id -g) "
is "a metric comes by its descriptor" "$(json_lines "$(run_dir)/metrics.jsonl" 'e["value"] if e["type"] == "metric" and e["name"] == "loss" else None')" 0.5
is "outputs come back" "$(cd "$(run_dir)/outputs/node-1" && cat kept-2 deep/x | tr '\n' ' ')" "kept x "
is "what a rank left writing is heard" "$(output 3 | tr '\n' ' ')" "late later "
is "a live directory is the directory" "$(cat live/from-3)" rank
ok "nothing is in the engine" engine_is_empty
engine_post DELETE /volumes/kept >/dev/null
muster run "$TESTS/../../examples/container.yaml" --set run.container=tools:1 --set 'run.command=echo "rank {rank} of {size}"'
is "the example" "$(output 1)" "rank 1 of 2"

cat >ends.yaml <<'J'
name: ends
run: {container: "tools:1", command: "kill -SEGV $$", grace: 20s}
J
muster run ends.yaml
is "a signal that ends it is said" "$(events 'e["signal"] if e["type"] == "exit" else None')" 11
muster run ends.yaml --set 'run.command=echo words; exit 42'
status_is "its exit status" 1
is "is said" "$(events 'e["status"] if e["type"] == "exit" else None')" 42
muster run ends.yaml --set 'run.command=[no-such-program]'
status_is "a program that the image does not have" 1
like "is named" "$(output 0)" "cannot run 'no-such-program': not found in PATH"
engine_image bare:1 /bin/cat && rm -rf image-root
muster run ends.yaml --set run.container=bare:1
like "an image without a shell" "$(output 0)" "no '/bin/sh', which a 'command' given as a text needs: give it as a list"
muster run ends.yaml --set run.container=bare:1 --set 'run.command=[cat, /proc/self/comm]'
is "does without one" "$(output 0)" cat
muster run ends.yaml --set 'run.command=[head, -c, "100000000", /dev/zero]'
is "much output" "$(stat -c %s "$(run_dir)/ranks/output-0.txt")" 100000000

# --- told to stop -------------------------------------------------------------
cat >wait.yaml <<'J'
name: wait
cluster: {nodes: 2}
run: {container: "tools:1", command: "trap 'echo told; exit 7' TERM; echo up; while :; do sleep 0.05; done", grace: 20s}
J
running() { [ "$(cat "$(run_dir)"/ranks/output-*.txt 2>/dev/null | grep -c up)" -eq 2 ]; }
begin() # NAME [ARGS...]
{
	local name=$1
	shift
	start run wait.yaml "$@"
	wait_for 20 running || fail "$name: it runs" "$(cat "$SCRATCH/bg.err")"
}
cancel() { "$MUSTER" cancel "$(basename "$(run_dir)")" >/dev/null; }
gone_too() { engine_is_empty && [ -z "$(processes_left)" ]; }

cp wait.yaml plain.yaml && sed -i 's/^run: {/run: {env: {TOKEN: secret-'$$'}, /' wait.yaml
begin "cancelled"
ids=$(engine_containers)
is "a container for each node" "$(wc -w <<<"$ids")" 2
is "run.env is no matter of the engine's" "$(for id in $ids; do engine_get "/containers/$id/json"; done | grep -c "secret-$$")" 0
is "and in no command line" "$(grep -lz '[s]ecret-'$$ /proc/[0-9]*/cmdline 2>/dev/null | wc -l)" 0
cancel
start_finished 15
status_is "cancelled" 130
is "the ranks are told" "$(output 0 | tail -n 1) $(output 1 | tail -n 1)" "told told"
mv plain.yaml wait.yaml
is "and end as they like" "$(events 'e["status"] if e["type"] == "exit" else None' | tr '\n' ' ')" "7 7 "
begin "deaf" --set 'run.command=trap "" TERM; echo up; sleep 1000' --set run.grace=0.3s
cancel
start_finished 15
is "who does not listen is killed" "$(events 'e["signal"] if e["type"] == "exit" else None' | tr '\n' ' ')" "9 9 "
start run wait.yaml
some_there() { [ -n "$(engine_containers)" ]; }
ok "the first container is made" wait_for 20 some_there
cancel
start_finished 20
status_is "cancelled while it comes up" 130
ok "nothing is in the engine" engine_is_empty

# --- what goes wrong ----------------------------------------------------------
remove() { engine_post DELETE "/containers/$(basename "$(run_dir)")-node-$1?force=1"; }
begin "a container that is removed" --set run.retries=1
remove 1
again() { event_seen retry && [ "$(output 0 | grep -c up)" -eq 2 ] && [ "$(output 1 | grep -c up)" -eq 2 ]; }
ok "a container that somebody removed is made again where the job may try again" wait_for 20 again
remove 1
start_finished 20
status_is "and else fails the run" 1
like "named" "$(why)" "node 1.*(container of node 1 \(127.*\): it ended|rank 1 on node 1 was killed)|rank 1 on node 1 was killed"
ok "nothing is in the engine" engine_is_empty

begin "a rank that is killed"
kill -9 "$(rank_pid 1)"
start_finished 15
like "a rank that is killed" "$(why)" "rank 1 on node 1 was killed by signal 9"

begin "an agent that is killed"
kill -9 "$(agent_pid 1)"
start_finished 15
is "an agent that is killed is a lost node" "$(outcome)" lost
ok "its container goes" wait_for 10 gone_too

begin "controller and agents killed"
kill -9 "$(controller_pid)" "$(agent_pid 0)" "$(agent_pid 1)"
start_finished 15
ok "with controller and agents killed the containers go by themselves" wait_for 10 gone_too
muster reap
status_is "reap finds the rest" 0

begin "an engine that is killed"
touch "$ENGINE_DIR/hold"
engine_kill KILL
cancel
start_finished 15
status_is "cancelled while the engine is gone" 130
is "the ranks are told all the same" "$(output 0 | tail -n 1) $(output 1 | tail -n 1)" "told told"
like "that containers could not be removed is said" "$(events 'e["why"] if e["type"] == "warn" else None')" "container of node 0.*cannot be removed: "
rm "$ENGINE_DIR/hold"
ok "the engine is back" wait_for 30 engine_answers
ok "and removes them" wait_for 30 gone_too

begin "a controller that is killed" --set cluster.lease=6s
kill -9 "$(controller_pid)"
start_finished 15
ok "the lease ends the containers" wait_for 15 gone_too
muster reap

# What was made and never started no engine removes by itself.
curl -sS --max-time 20 --unix-socket "$ENGINE_DIR/docker.sock" -H 'Content-Type: application/json' -o made.json \
	-d '{"Image": "tools:1", "Cmd": ["/bin/sh"], "Labels": {"muster.run": "left-over"}}' "http://engine/containers/create"
agent=$(dirname "$MUSTER")/muster-agent
like "an agent finds it by its label" "$("$agent" list left-over)" "muster-left container $(json_value made.json 'e["Id"][:12]')"
like "and removes it" "$("$agent" reap left-over)" "muster-done"
ok "nothing is in the engine" engine_is_empty

# --- images -------------------------------------------------------------------
muster run ends.yaml --set run.container=127.0.0.1:1/nothere:1
status_is "an image that cannot be had" 1
like "is named, with the host" "$(why)" "setup step 1 \('image 127.0.0.1:1/nothere:1'\) on node 0 \(127.*the image '127.0.0.1:1/nothere:1' is not there and cannot be pulled: "
DOCKER_HOST=unix:///nonexistent/sock muster run ends.yaml
like "no engine: what to do" "$(why)" "on node 0 \(127.*there is no Docker Engine \('packages: \[docker.io\]'"
DOCKER_HOST=tcp://127.0.0.1:1 muster run ends.yaml
like "an engine that does not answer" "$(why)" "the Docker engine at tcp://127.0.0.1:1 does not answer"
mkdir context && printf 'FROM tools:1\nARG WORD=none\nCOPY . /context\nRUN echo "$WORD" >/built\n' >context/Dockerfile
printf 'left-out\n' >context/.dockerignore
echo in >context/in; echo out >context/left-out
cat >build.yaml <<'J'
name: built
cluster: {nodes: 2}
run:
  container: {build: {context: context, args: {WORD: "{fresh}"}}}
  command: "cat /built; for f in /context/*; do echo $f; done"
J
muster run build.yaml
status_is "an image is built" 0
is "with its arguments, and without what is left out" "$(output 1 | tr '\n' ' ')" "{fresh} /context/Dockerfile /context/in "
is "once, and the other node has it" "$(cat "$(run_dir)"/outputs/node-*/setup.log | grep -cE '^(Step 4/5|another node of this run built)')" 2
like "the step has a time" "$(events 'str(e["seconds"]) if e["type"] == "setup" else None' | tr '\n' ' ')" "^[0-9.]+ [0-9.]+ $"
echo 'RUN echo last words; no-such-program 2>/dev/null' >>context/Dockerfile
muster run build.yaml --set cluster.nodes=1
status_is "a build that fails" 1
like "fails with the host and its last lines" "$(why)" "setup step 1 \('build the image of context'\) on node 0 \(127.*last words \| Removing intermediate container [0-9a-f]* \| cannot build the image of '[^']*context': .*no-such-program.*returned a non-zero code"
ok "nothing is in the engine" engine_is_empty

# --- limits, samples ----------------------------------------------------------
cat >limits.yaml <<'J'
name: limits
cluster: {nodes: 2, memory: 64Mi, cpus: 500m}
run:
  container: tools:1
  command: |
    if [ {rank} = 1 ]; then echo before; head -c 500000000 /dev/zero | tail; exit $?; fi
    sleep 1000
J
muster run limits.yaml
if [ "$status" = 3 ]; then
	skip "limits" "control groups cannot be written here"
else
	status_is "more memory than allowed" 1
	like "why: rank and memory" "$(why)" "rank 1.*out of memory"
fi
muster run wait.yaml --set cluster.nodes=1 --set 'run.command=i=0; while [ $i -lt 3000000 ]; do i=$((i+1)); done'
ok "samples are of the rank" test -n "$(json_lines "$(run_dir)/metrics.jsonl" '1 if e["type"] == "sample" and e["cpu"] > 0.05 else None')"

# --- how ranks find each other --------------------------------------------------
muster run wait.yaml --set run.launch=torch --set 'run.command=echo $RANK of $WORLD_SIZE $MASTER_ADDR'
like "torch" "$(output 1)" "1 of 2 127"
cat >ring.c <<'C'
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	int rank, size, sum = 0;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
	printf("rank %d of %d sum %d\n", rank, size, sum);
	for (int i = 1; i < argc; i++)
		printf("%s\n", getenv(argv[i]));
	MPI_Finalize();
	return 0;
}
C
if command -v mpicc.mpich >/dev/null; then
	mpicc.mpich -o ring ring.c && engine_image mpich:1 ./ring=/ring
	cat >ring.yaml <<-'J'
		run: {launch: mpi, procs_per_node: 3, container: "mpich:1", command: [/ring], timeout: 60s}
	J
	muster run ring.yaml
	status_is "MPICH" 0
	is "the ranks have found each other" "$(cat "$(run_dir)"/ranks/output-*.txt | sort | tr '\n' ' ')" \
		"rank 0 of 3 sum 3 rank 1 of 3 sum 3 rank 2 of 3 sum 3 "
	# Containers share no memory, so ranks load what MPI_Finalize needs to end. What the agent's user loads is not there.
	LD_PRELOAD=libc.so.6 muster run ring.yaml --set cluster.nodes=2 --set run.procs_per_node=2 --set 'run.command=[/ring, LD_PRELOAD]'
	status_is "MPICH in two containers" 0
	is "the ranks have found each other" "$(cat "$(run_dir)"/ranks/output-*.txt | grep -c '^rank [0-3] of 4 sum 6$')" 4
	like "and have loaded one thing" "$(output 3 | tail -n 1)" "^/[^:]*/node-1/parting\.so$"
	if command -v mpicc.openmpi >/dev/null; then
		printf '%s\n' '#include <mpi.h>' '#include <unistd.h>' 'int main(int n, char **v) { if (n > 1) MPI_Init(&n, &v); pause(); }' >stranger.c
		mpicc.openmpi -o stranger stranger.c
		env -u MUSTER_E2E ./stranger &
		stranger=$!
		CLEANUP="kill $stranger 2>/dev/null${CLEANUP:+; $CLEANUP}"
		muster run ring.yaml --set run.procs_per_node=1 --set run.command='[/bin/sleep, "1"]' --set run.container=tools:1
		status_is "somebody else's program of Open MPI on the same machine is not the run's" 0
		kill $stranger
	else
		skip "somebody else's program of Open MPI" "no mpicc.openmpi"
	fi
else
	skip "MPICH" "no mpicc.mpich"
fi

# --- a cluster that stays up ----------------------------------------------------
cat >lab.yaml <<'J'
name: lab
cluster: {nodes: 2}
J
muster up lab.yaml
muster run ends.yaml --on lab --set 'run.command=echo {rank}; id -u'
status_is "on a persistent cluster" 0
is "in a container" "$(output 1 | tr '\n' ' ')" "1 $(id -u) "
ok "nothing is in the engine" engine_is_empty
muster down lab

# --- another user ---------------------------------------------------------------
user=65534
theirs=$(mktemp -d /tmp/muster-user.XXXXXX)
CLEANUP="${CLEANUP:+$CLEANUP; }rm -rf $theirs"
cp "$MUSTER" "$(dirname "$MUSTER")/muster-agent" ends.yaml "$theirs" && chown -R $user:$user "$theirs" && chmod 711 "$ENGINE_DIR"
as_user() { (cd "$theirs" && env MUSTER_RUNS="$theirs/runs" MUSTER_NODES_DIR="$theirs/nodes" HOME="$theirs" setpriv --reuid $user --regid $user --clear-groups \
	./muster "$@" >"$SCRATCH/out" 2>"$SCRATCH/err"); status=$?; }
as_user run ends.yaml
like "a user who may not ask the engine" "$(cat "$SCRATCH/err")" "this user may not ask the Docker Engine \(the group 'docker' may\)"
chgrp $user "$ENGINE_DIR/docker.sock" && chmod 660 "$ENGINE_DIR/docker.sock"
as_user run ends.yaml --set 'run.command=id -u; id -g; echo mine >{out}/mine; chmod 600 {out}/mine' --set 'outputs=[mine]'
out=$(cat "$SCRATCH/out") err=$(cat "$SCRATCH/err")
status_is "a user who may" 0
is "is that user inside" "$(cat "$theirs"/runs/*/ranks/output-0.txt | tail -n 2 | tr '\n' ' ')" "$user $user "
is "and gets the files" "$(cat "$theirs"/runs/*/outputs/node-0/mine)" mine
is "nothing of it is left" "$(ls -A "$theirs/nodes" 2>/dev/null)" ""

# --- over ssh ---------------------------------------------------------------------
. "$TESTS/hosts.sh"
FARM_ENV=DOCKER_HOST=$DOCKER_HOST
hosts_start 2
sed -i '$d' context/Dockerfile
muster run build.yaml --set 'cluster={executor: ssh, hosts: [h0, h1]}' --set 'run.container.build.args.WORD=far' --set name=far
status_is "over ssh, from a directory that is sent there" 0
is "an image of it, without what is left out" "$(output 0 | tr '\n' ' ')" "far /context/Dockerfile /context/in "
# A cluster of hosts with limits: a job's containers are in the groups of its nodes.
echo 'cluster: {executor: ssh, hosts: [h0, h1], memory: 64Mi}' >lab.yaml
muster up -q lab.yaml
if [ "$status" = 0 ]; then
	muster run limits.yaml --on lab --set cluster={}
	is "on a cluster of hosts: more memory than allowed" "$status" 1
	like "why: rank and memory" "$(why)" "rank 1.*out of memory"
	ok "its containers go" wait_for 10 engine_is_empty
	muster down lab
else
	skip "limits on hosts" "control groups cannot be written here"
fi
start run wait.yaml --set 'cluster={executor: ssh, hosts: [h0, h1]}'
ok "ranks run on hosts" wait_for 20 running
kill -9 "$(pid_in "$FARM/h1/nodes/$(basename "$(run_dir)")/node-1/agent.json")"
start_finished 30
is "an agent that is killed there is a lost node" "$(outcome)" lost
ok "its container goes" wait_for 10 engine_is_empty
ok "nothing is left on the hosts" wait_for 10 hosts_are_clean
done_testing
