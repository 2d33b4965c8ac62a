#!/bin/bash
# The agent is one static executable that needs nothing beside it: it works in a root directory that holds nothing else.
. "$(dirname "$0")/lib.sh" || exit 1

agent=$(dirname "$MUSTER")/muster-agent
unlike "it is static" "$(ldd "$agent" 2>&1)" "=>"
cp "$agent" stripped && strip stripped
at_most "size when stripped" "$(stat -c %s stripped)" 8388608
# As an init container does it, for a container of another user.
mkdir pod
ok "it installs itself" env -i sh -c 'umask 077; exec ./stripped install pod/agent'
is "for everybody" "$(stat -c %a pod/agent)" 755
ok "whole" cmp stripped pod/agent
nok "not where it cannot" ./stripped install none/agent 2>errors
like "and says so" "$(cat errors)" "muster-agent: cannot create 'none/agent.*': No such file or directory"

# The rank's program must be static too, since there is nothing it could be linked to.
cat >hello.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
	printf("rank %s sees %s\n", getenv("MUSTER_RANK"), access("/bin/sh", F_OK) ? "no shell" : "a shell");
	static char line[65536];
	memset(line, 'x', sizeof line);
	line[sizeof line - 1] = '\n';
	for (int i = 0; i < 2000; i++)
		fwrite(line, 1, sizeof line, stdout);
	FILE *status = fopen("/proc/self/status", "r");
	printf("proc %s\n", status ? "is there" : "is not there");
	return 0;
}
C
ok "the rank is built" gcc -O2 -static -o hello hello.c

mkdir -p root/bin
cp stripped root/bin/muster-agent
cp hello root/bin/
# The node's directory is the only other thing in that root, under the name it has outside, so that the executor and the agent mean the same.
cat >chrooted <<J
#!/bin/sh
exec unshare --mount --propagation private sh -c '
	cd $SCRATCH/work && mkdir -p root$MUSTER_NODES_DIR && mount --bind $MUSTER_NODES_DIR root$MUSTER_NODES_DIR && exec chroot root /bin/muster-agent'
J
chmod +x chrooted
if ! unshare --mount true 2>/dev/null; then
	skip "an empty root" "no name spaces of our own"
	done_testing
fi

cat >job.yaml <<'J'
name: empty
cluster: {nodes: 2}
# The program lies in the root itself: a file outside of it cannot be an input of an agent that sees nothing else.
run: {command: [/bin/hello]}
J
watch_memory()
{
	local pid
	for pid in 0 1; do
		pid=$(agent_pid "$pid") && peak_memory "$pid" >>sizes
	done
	gone "$started"
}
MUSTER_AGENT=$PWD/chrooted start run job.yaml
wait_for 60 watch_memory
start_finished 5
status_is "a run whose agents see nothing but themselves" 0
like "the ranks ran there" "$(head -c 100 "$(run_dir)/ranks/output-0.txt" | head -n 1)" "rank 0 sees no shell"
is "and streamed" "$(stat -c %s "$(run_dir)/ranks/output-1.txt")" "$(stat -c %s "$(run_dir)/ranks/output-0.txt")"
at_most "an agent's memory at its largest, KiB" "$(sort -g sizes | tail -n 1)" 8192
done_testing
